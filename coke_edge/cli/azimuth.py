"""`--azimuth seen|unseen`: the short form of the data sets' parameter of that name."""

from __future__ import annotations

import enum
from typing import Annotated

import typer


class AzimuthHalf(str, enum.Enum):
    """The two halves of the viewpoints."""

    seen = "seen"
    unseen = "unseen"


AzimuthOption = Annotated[
    AzimuthHalf | None,
    typer.Option(help="only objects seen from this half of the azimuths (of data sets that have viewpoints)"),
]


def with_azimuth(data: str, azimuth: AzimuthHalf | None) -> str:
    """The specification with the parameter, if one is asked for; `load_dataset` says whether it takes it."""
    if azimuth is None or not data:
        return data
    return f"{data}{'&' if '?' in data else '?'}azimuth={azimuth.value}"

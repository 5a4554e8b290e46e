"""Parameters of a source, as in /dev/video0?size=1280x720&fps=60."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection
from urllib.parse import parse_qsl

from coke_edge.errors import StreamError

LARGEST = 65_535  # pixels along a side


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What may be asked of a source; None where nothing is."""

    size: tuple[int, int] | None = None  # width, height in pixels
    fps: float | None = None
    format: str | None = None
    live: bool = False


def split(uri: str) -> tuple[str, str]:
    """What stands before the question mark, and after it."""
    head, _, query = uri.partition("?")
    return head, query


def parse(uri: str, query: str, allowed: Collection[str]) -> Parameters:
    """The parameters of a query string. Raises StreamError, naming `uri`, if one is unknown or no good."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise StreamError(f"{uri}: parameters look like size=1280x720&fps=30, not {query!r}") from None
    for key, _ in pairs:
        if key not in allowed:
            raise StreamError(f"{uri}: no parameter {key!r}; there is {', '.join(allowed)}")
    given = dict(pairs)
    return Parameters(
        size=_size(uri, given["size"]) if "size" in given else None,
        fps=_fps(uri, given["fps"]) if "fps" in given else None,
        format=given["format"].lower() if "format" in given else None,
        live=_yes(uri, given["live"]) if "live" in given else False,
    )


def _size(uri: str, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < min(size) <= max(size) <= LARGEST:
        raise StreamError(f"{uri}: size is WIDTHxHEIGHT in pixels, as in 1280x720, not {text!r}")
    return size


def _fps(uri: str, text: str) -> float:
    try:
        fps = float(text)
    except ValueError:
        fps = math.nan
    if not 0 < fps < math.inf:
        raise StreamError(f"{uri}: fps is a number of frames per second above 0, not {text!r}")
    return fps


def _yes(uri: str, text: str) -> bool:
    if text not in ("yes", "no"):
        raise StreamError(f"{uri}: live is yes or no, not {text!r}")
    return text == "yes"

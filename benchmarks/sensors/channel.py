"""What a machine can be asked while something runs on it, and the answers "not here" and "not now"."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

Kind = Literal["gauge", "power", "energy", "cores"]

# What a user asks of any machine. Each of these is read or has a reason why not; rails of a board come on top.
PARTS = ("cpu", "gpu", "board")
UNITS = {
    "cpu clock": "MHz",
    "cpu temperature": "°C",
    "gpu clock": "MHz",
    "gpu memory clock": "MHz",
    "gpu temperature": "°C",
}
THROTTLED = "throttled"


class UnreadableError(Exception):
    """Why a sensor gives nothing, in words."""


@dataclasses.dataclass(frozen=True)
class Channel:
    """One sensor. `read` raises UnreadableError.

    A gauge has the name and unit of what it shows; cores are a counter of core seconds, told by its rate. A power (W)
    and an energy (J, a counter) have the name of the part that takes it, and each gives both "… power" and "… energy".
    """

    name: str
    kind: Kind
    read: Callable[[], float]
    unit: str = ""


@dataclasses.dataclass(frozen=True)
class Sign:
    """What tells that clocks were held back: cause → a state (0 is none) or a count of events.

    `read` raises UnreadableError.
    """

    read: Callable[[], Mapping[str, float]]
    counts: bool


@dataclasses.dataclass
class Found:
    """The sensors of one source, and why it lacks what it might have had."""

    channels: list[Channel] = dataclasses.field(default_factory=list)
    signs: list[Sign] = dataclasses.field(default_factory=list)
    absent: dict[str, str] = dataclasses.field(default_factory=dict)

    def lacks_power(self, part: str, reason: str) -> None:
        """Neither power nor energy of a part can be read here."""
        self.absent |= {f"{part} power": reason, f"{part} energy": reason}

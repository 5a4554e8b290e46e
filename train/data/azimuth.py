"""The viewpoint of an object, and the split of objects by it, to test on poses that training never saw.

The circle of azimuths is cut into eight bins of 45°; the authors' seen half is [0, 45) ∪ [135, 225) ∪ [315, 360), the
unseen half the rest. So both halves hold views from the front, the sides and the back, none of them at the same angle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from coke_edge.train.data.mat import number

Half = Literal["seen", "unseen"]
AzimuthHalf = Literal["", "seen", "unseen"]  # "" is both
BIN = 45.0  # degrees
SEEN_BINS = (0, 3, 4, 7)
ANCHORS_OF_A_POSE = 2


class Viewpoint(NamedTuple):
    """From where an object is seen, in degrees; None where it is not annotated."""

    viewpoint: Literal["fine", "coarse", "none"]  # fitted to anchors, estimated by the annotator
    azimuth: float | None = None  # known unless `viewpoint` is "none"
    elevation: float | None = None
    theta: float | None = None

    @property
    def half(self) -> Half | None:
        """The half that it belongs to; None if it is none, so belongs to neither."""
        return None if self.azimuth is None else half_of_azimuth(self.azimuth)


NO_VIEWPOINT = Viewpoint("none")


def viewpoint_of(thing: Mapping[str, Any]) -> Viewpoint:
    """The viewpoint of an object of a PASCAL3D+ record: the fitted one, or the coarse one where that is missing.

    With fewer than two anchors (`num_anchor`) it has none: neither angle is then to be relied on.
    """
    view = thing.get("viewpoint")
    if not isinstance(view, Mapping):
        return NO_VIEWPOINT
    anchors = number(view.get("num_anchor"))
    if anchors is not None and anchors < ANCHORS_OF_A_POSE:
        return NO_VIEWPOINT
    azimuth, elevation, theta = (number(view.get(name)) for name in ("azimuth", "elevation", "theta"))
    if azimuth is not None:
        return Viewpoint("fine", azimuth, elevation, theta)
    azimuth, elevation = number(view.get("azimuth_coarse")), number(view.get("elevation_coarse"))
    return NO_VIEWPOINT if azimuth is None else Viewpoint("coarse", azimuth, elevation)


def half_of_azimuth(azimuth: float) -> Half:
    """The half of an angle in degrees, of any number of turns."""
    # Python's remainder of a tiny negative number rounds to 360 itself, which is bin 0 again.
    return "seen" if int(azimuth % 360.0 / BIN) % 8 in SEEN_BINS else "unseen"

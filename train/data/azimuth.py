"""The split of objects by the azimuth they are seen from, to test on poses that training never saw.

The circle is cut into eight bins of 45°; the authors' seen half is [0, 45) ∪ [135, 225) ∪ [315, 360), the unseen half
the rest. So both halves hold views from the front, the sides and the back, none of them at the same angle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from coke_edge.train.data.mat import number

AzimuthHalf = Literal["", "seen", "unseen"]  # "" is both
BIN = 45.0  # degrees
SEEN_BINS = (0, 3, 4, 7)
ANCHORS_OF_A_POSE = 2


def half_of(thing: Mapping[str, Any]) -> Literal["seen", "unseen"] | None:
    """The half that an object of a PASCAL3D+ record belongs to; None if it has no viewpoint, so belongs to neither.

    The azimuth is the fitted one, or the annotator's coarse one where that is missing. One that was fitted to fewer
    than two anchors (`num_anchor`) is none.
    """
    view = thing.get("viewpoint")
    if not isinstance(view, Mapping):
        return None
    anchors = number(view.get("num_anchor"))
    if anchors is not None and anchors < ANCHORS_OF_A_POSE:
        return None
    fine, coarse = number(view.get("azimuth")), number(view.get("azimuth_coarse"))
    azimuth = coarse if fine is None else fine
    return None if azimuth is None else half_of_azimuth(azimuth)


def half_of_azimuth(azimuth: float) -> Literal["seen", "unseen"]:
    """The half of an angle in degrees, of any number of turns."""
    # Python's remainder of a tiny negative number rounds to 360 itself, which is bin 0 again.
    return "seen" if int(azimuth % 360.0 / BIN) % 8 in SEEN_BINS else "unseen"

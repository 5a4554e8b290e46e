"""One person of MPII, as all forms of its annotations have it, and how it becomes a sample.

Points of MPII count from 1 (MATLAB), ours from 0. A person's place is `objpos` and its size is `scale`, the height
divided by 200 px. The field's crop is a square around the place moved down by 15·scale px, with the side 200·scale
after scale × 1.25, so that no limb is cut off; it is our box.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coke_edge.manifest import Keypoints2D
from coke_edge.train.data.body import ARMS, LEGS
from coke_edge.train.data.flips import flip_pairs_by_name
from coke_edge.train.data.sample import FAR, UNLABELLED, Sample

NAMES = (*LEGS, "pelvis", "thorax", "upper_neck", "head_top", *ARMS)
SKELETON = (
    *((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5)),  # ankle to ankle along the legs
    *((10, 11), (11, 12), (12, 7), (7, 13), (13, 14), (14, 15)),  # wrist to wrist along the arms
    *((6, 7), (7, 8), (8, 9)),  # the spine and the head
)
KEYPOINTS = Keypoints2D(NAMES, SKELETON, flip_pairs_by_name(NAMES))
UNSCORED = ("pelvis", "thorax")  # no published PCKh counts them

HEIGHT = 200.0  # px of a person of scale 1
DOWN, LARGER = 15.0, 1.25  # the field's correction of the annotated place and size
HEAD = 0.6  # of the head box's diagonal


@dataclasses.dataclass(frozen=True, eq=False)
class Person:
    """Coordinates are frame pixels, pixel centres at integers."""

    image: str  # file name
    key: str  # unique in its file
    points: NDArray[np.float32]  # [16, 2], NaN where unlabelled
    visibility: NDArray[np.uint8]  # [16]
    box: NDArray[np.float32] | None  # [4], None where place or scale is not known
    head_size: float = math.nan  # px, what PCKh divides by
    separated: bool = True  # far enough from others, where the file says so

    @property
    def lacks(self) -> str | None:
        """Why there is no sample of this person, as a phrase; None if there is."""
        if (self.visibility == UNLABELLED).all():
            return "without a labelled joint"
        return "without a scale or a place" if self.box is None else None

    def sample(self, image: Path) -> Sample:
        """The sample, on the image's path."""
        assert self.box is not None
        return Sample(image, self.points, self.visibility, self.box, self.key, {"head_size": self.head_size})


def person_box(x: float | None, y: float | None, scale: float | None) -> NDArray[np.float32] | None:
    """The box [4] of an annotated place (counted from 1) and scale; None if one of them is no use."""
    if x is None or y is None or scale is None:
        return None
    return square(x, y + DOWN * scale, LARGER * scale)


def square(x: float, y: float, scale: float) -> NDArray[np.float32] | None:
    """The square box [4] of side 200·scale around a place counted from 1; None if it is no use."""
    # A comparison with NaN is false, so it is no use either. No person's height is a thousand images'.
    if not (abs(x) < FAR and abs(y) < FAR and 0 < HEIGHT * scale < FAR):
        return None
    half = HEIGHT * scale / 2
    return np.array([x - 1 - half, y - 1 - half, x - 1 + half, y - 1 + half], dtype=np.float32)


def head_size(x1: float | None, y1: float | None, x2: float | None, y2: float | None) -> float:
    """0.6 × the diagonal of the head box in px; NaN if a corner is not known."""
    if x1 is None or y1 is None or x2 is None or y2 is None:
        return math.nan
    return HEAD * math.hypot(x2 - x1, y2 - y1)

"""One annotated object in one image: what every data set is turned into."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError
from coke_edge.manifest import Keypoints2D

# COCO's visibility flag: the field's common language.
UNLABELLED, HIDDEN, VISIBLE = 0, 1, 2

COVERED = (
    "covered"  # of a sample's meta, uint8 [K]: the flags that keypoints under pasted occluders had before
)

FAR = 1e6  # px: no coordinate of a photo is as large; one that is, or is no number, stands for none

Normaliser = Literal["torso", "box", "head"]
Split = Literal["train", "val", "test"]


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """One object. Coordinates are frame pixels, pixel centres at integers."""

    image: Path
    keypoints: NDArray[np.float32]  # [K, 2] x, y; NaN where unlabelled
    visibility: NDArray[np.uint8]  # [K], UNLABELLED | HIDDEN | VISIBLE
    box: NDArray[np.float32]  # [4] x0, y0, x1, y1 of the object
    key: str  # unique in its data set, stable between runs
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)  # azimuth, category, head size, …


@dataclasses.dataclass(frozen=True, eq=False)
class KeypointDataset:
    """The samples of one split and what is needed to read their keypoints."""

    name: str  # the specification it was loaded from, for reports
    split: str
    keypoints: Keypoints2D
    samples: Sequence[Sample]
    normaliser: Normaliser  # the length that PCK thresholds are multiples of
    marks_hidden: bool  # whether HIDDEN is annotated, so that visibility can be scored
    unscored: tuple[str, ...] = ()  # keypoints that the field's measure leaves out
    counts_hidden: bool = False  # whether the field's measure counts hidden keypoints too
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)  # reason → objects of the split


class NoSuchSplit(DataError):  # noqa: N818  (it says what is not there, which is no mistake of the files)
    """A data set is published without this split."""


class NoObjects(DataError):  # noqa: N818  (as above)
    """A split has no object of the kind that is asked for, such as a category that is never seen from a half."""


def bounding_box(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """The box [4] around the pixels of the labelled keypoints [K, 2], of which there must be one.

    It reaches half a pixel beyond the outermost centres, so that it is never empty.
    """
    low, high = np.nanmin(keypoints, axis=0), np.nanmax(keypoints, axis=0)
    return np.concatenate([low - 0.5, high + 0.5]).astype(np.float32)

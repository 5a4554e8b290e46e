"""The next box from the last keypoints, without breathing."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from coke_edge.keypoints import Keypoints

Box = NDArray[np.float64]  # [4] x0, y0, x1, y1 in frame pixels

THINNEST = 0.25  # a box is at least this share of its longer side wide: points in a row still have a body


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Means over an object's keypoints."""

    lost: float  # below it, a search starts
    found: float  # from it on, the best place of a search is the object
    sure: float  # from it on, the search need not look at the other places


@dataclasses.dataclass(frozen=True)
class Following:
    """How a box follows its object. The defaults were measured with `coke_edge.benchmarks.tracking`."""

    margin: float = 1.06  # the box is that of the keypoints scaled by this; the model adds its own margin
    slack: float = 0.03  # each side stays until it is off by this share of the box's longer side
    visible: Thresholds = Thresholds(0.45, 0.6, 0.85)  # of P(visible) …
    similarity: Thresholds = Thresholds(
        0.4, 0.5, 0.65
    )  # … or of the similarity, if the model does not say it

    def judge(self, keypoints: Keypoints) -> tuple[float, Thresholds]:
        """How much of the object is there, and what that means."""
        value = float(keypoints.visible.mean())
        if not np.isnan(value):
            return value, self.visible
        return float(np.where(keypoints.found, keypoints.similarity, -1.0).mean()), self.similarity


def next_box(keypoints: Keypoints, last: Box | None, following: Following) -> Box | None:
    """The box [4] to search next; None if fewer than two keypoints are visible.

    Visible keypoints alone make it grow. A hidden one, whose place is a guess, only keeps the last box from shrinking.
    """
    visible = keypoints.found & ~keypoints.hidden
    if visible.sum() < 2:
        return None
    box = hull(keypoints.xy[visible])
    if last is not None:
        guessed = keypoints.places[keypoints.found & keypoints.hidden]
        box = hull(np.concatenate([box.reshape(2, 2), np.clip(guessed, last[:2], last[2:])]))
    box = widened(box, following.margin)
    if last is None:
        return box
    slack = following.slack * (box[2:] - box[:2]).max()
    return np.clip(last, box - slack, box + slack)


def hull(points: NDArray[np.float64]) -> Box:
    """The box [4] around points [N, 2]."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def widened(box: Box, margin: float) -> Box:
    """A box scaled about its centre, at least `THINNEST` of its longer side (and one pixel) wide and high."""
    centre, size = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * margin
    half = np.maximum(size, max(THINNEST * float(size.max()), 1.0)) / 2
    return np.concatenate([centre - half, centre + half])

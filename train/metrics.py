"""Measures of keypoints, on plain arrays: PCK, distances, and how well a probability says what is visible.

Shapes: n objects, K keypoints, T thresholds. Positions are pixels of one frame; a prediction of NaN (no peak)
is infinitely far off. PCK at threshold t is the percentage of keypoints whose distance is ≤ t × the object's
normalising length. It is taken over all counted keypoints of all objects together, so that an object weighs
as much as it has counted keypoints. PCKh is the same with the head size as length: MPII's is 0.6 × the diagonal of
the head box, so PCKh@0.5 asks for a distance ≤ 0.3 of that diagonal, over all joints together, each as often as it
is annotated; which joints count is said by the data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coke_edge.errors import DataError
from coke_edge.train.data.sample import HIDDEN, VISIBLE, Normaliser

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

# The field's usual threshold, as it stands in reports.
USUAL_THRESHOLD: dict[Normaliser, str] = {"torso": "0.2", "box": "0.1", "head": "0.5"}
TORSO = ("left_shoulder", "right_hip")  # the torso's length is the distance between these two


class Pck(NamedTuple):
    """Percentages of correct keypoints; NaN where nothing was counted."""

    percent: Float  # [T]
    per_keypoint: Float  # [T, K]
    counts: NDArray[np.int64]  # [K] keypoints counted


def distances(predicted: ArrayLike, truth: ArrayLike) -> Float:
    """Euclidean distances [n, K] in px between positions [n, K, 2]; ∞ where there is no prediction.

    NaN where there is no truth.
    """
    target = np.asarray(truth, dtype=np.float64)
    gap = np.linalg.norm(np.asarray(predicted, dtype=np.float64) - target, axis=-1)
    return np.where(np.isnan(gap) & np.isfinite(target).all(-1), np.inf, gap)


def distances_forgiven(predicted: ArrayLike, truth: ArrayLike, pairs: Sequence[tuple[int, int]]) -> Float:
    """Distances [n, K] where a prediction may lie on its mirror keypoint too: the nearer counts."""
    target = np.asarray(truth, dtype=np.float64)
    mirror = np.arange(target.shape[1])
    for a, b in pairs:
        mirror[a], mirror[b] = b, a
    own, other = distances(predicted, target), distances(predicted, target[:, mirror])
    return np.where(np.isnan(own), np.nan, np.fmin(own, other))


def lengths(
    normaliser: Normaliser,
    truth: ArrayLike,  # [n, K, 2]
    boxes: ArrayLike,  # [n, 4]
    names: Sequence[str],  # [K]
    head_sizes: ArrayLike,  # [n]
) -> Float:
    """The normalising length [n] of every object in px; NaN where it is unknown or not positive.

    torso   |left shoulder − right hip|
    box     the longer side of the object's box
    head    the data set's head size (of MPII: 0.6 × the diagonal of the head box)

    Raises DataError if the keypoints have no torso.
    """
    if normaliser == "torso":
        try:
            shoulder, hip = (list(names).index(name) for name in TORSO)
        except ValueError:
            raise DataError(f"the torso's length needs keypoints called {TORSO[0]} and {TORSO[1]}") from None
        points = np.asarray(truth, dtype=np.float64)
        length = np.linalg.norm(points[:, shoulder] - points[:, hip], axis=-1)
    elif normaliser == "box":
        corners = np.asarray(boxes, dtype=np.float64)
        length = (corners[:, 2:] - corners[:, :2]).max(axis=1)
    else:
        length = np.asarray(head_sizes, dtype=np.float64)
    return np.where(np.isfinite(length) & (length > 0), length, np.nan)


def counted(visibility: ArrayLike, length: ArrayLike, include_hidden: bool = False) -> Bool:
    """Which keypoints [n, K] count: visible ones (and hidden, if asked) of objects of known length."""
    flags = np.asarray(visibility)
    labelled = np.isin(flags, [VISIBLE, HIDDEN] if include_hidden else [VISIBLE])
    return np.logical_and(labelled, np.isfinite(np.asarray(length, dtype=np.float64))[:, None])


def pck(distance: ArrayLike, length: ArrayLike, mask: Bool, thresholds: ArrayLike) -> Pck:
    """PCK of distances [n, K] against lengths [n], over the keypoints of `mask` [n, K]."""
    relative = np.asarray(distance, dtype=np.float64) / np.asarray(length, dtype=np.float64)[:, None]
    # A hair's breadth of slack, so that rounding does not turn "exactly at the threshold" into a miss.
    limits = np.asarray(thresholds, dtype=np.float64)[:, None, None] * (1 + 1e-9)
    correct = ((relative <= limits) & mask).sum(axis=1)  # [T, K]
    counts = mask.sum(axis=0)
    return Pck(percent(correct.sum(axis=1), counts.sum()), percent(correct, counts), counts)


def mean_over_keypoints(per_keypoint: Float) -> Float:
    """The mean [T] over the keypoints of [T, K] that were counted (are not NaN); NaN if none was."""
    known = np.isfinite(per_keypoint)
    total = np.where(known, per_keypoint, 0.0).sum(axis=1)
    return np.asarray(total / np.where(known.any(axis=1), known.sum(axis=1), np.nan))


def percent(part: ArrayLike, whole: ArrayLike) -> Float:
    """100 × part / whole, NaN where the whole is 0."""
    total = np.asarray(whole, dtype=np.float64)
    return 100.0 * np.asarray(part, dtype=np.float64) / np.where(total > 0, total, np.nan)


def auroc(score: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive outscores a negative, a tie counting half.

    NaN scores rank below all others. NaN if either class is absent.
    """
    from scipy.stats import rankdata

    label = np.asarray(positive, dtype=bool).ravel()
    values = np.asarray(score, dtype=np.float64).ravel()
    ones, zeros = int(label.sum()), int((~label).sum())
    if not (ones and zeros):
        return float("nan")
    ranks = rankdata(np.where(np.isnan(values), -np.inf, values))
    return float((ranks[label].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def brier(probability: ArrayLike, positive: ArrayLike) -> float:
    """Mean squared difference between a probability and what came true (0 or 1)."""
    gap = np.asarray(probability, dtype=np.float64) - np.asarray(positive, dtype=np.float64)
    return float(np.mean(gap**2))


def log_loss(probability: ArrayLike, positive: ArrayLike) -> float:
    """Mean −log of the probability given to what came true, in nats; 0 and 1 count as 1e-12 from them."""
    p = np.clip(np.asarray(probability, dtype=np.float64), 1e-12, 1 - 1e-12)
    return float(-np.where(np.asarray(positive, dtype=bool), np.log(p), np.log1p(-p)).mean())


def calibration_error(probability: ArrayLike, positive: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: |mean probability − share of positives| over equal bins, by count."""
    p = np.asarray(probability, dtype=np.float64).ravel()
    label = np.asarray(positive, dtype=np.float64).ravel()
    bin_of = np.minimum((p * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=p - label, minlength=bins)
    return float(np.abs(gaps).sum() / len(p))

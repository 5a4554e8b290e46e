"""Where a graph's peaks are not torch's, peak by peak, on the same crops."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coke_edge.export.expected import Decoded, Expected, decoded
from coke_edge.kernels.reference import NO_PEAK, Peaks
from coke_edge.manifest import ModelSpec
from coke_edge.train import metrics

TIE = 1e-4  # two cells whose scores in torch are nearer than this may change places
PIXEL_DIGITS, RESPONSE_DIGITS = 3, 5  # what lies below depends on the number of threads: no two bundles alike
UNLABELLED_THRESHOLD = 0.05  # of the crop's longer side: where nothing is annotated, torch is the truth

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Differences(NamedTuple):
    """Between torch and a graph, for B crops and R score maps, those of hidden keypoints behind the K others."""

    distance: Float  # [B, R] of the best peaks, crop px; NaN where one is missing, tied or not reported
    response: Float  # [B, R, M] largest of s, c, ĉ; NaN where the cells differ
    visible: Float  # [B, K] |ΔP(visible)|, NaN where one is missing or the model is not calibrated
    peaks: Mask  # [B, R, M] torch has it
    tie: Mask  # [B, R, M] another cell with the same score, in torch
    displaced: Mask  # [B, R, M] another cell, without that excuse; the best peaks' distance tells it
    missing: Mask  # [B, R, M] one has it and the other has not, or it is not finite
    counted: Mask  # [B, R] counts for PCK
    torch_correct: Mask  # [B, R] within PCK's threshold of the truth
    graph_correct: Mask  # [B, R]


def differences(expected: Expected, actual: Peaks, spec: ModelSpec) -> Differences:
    """The differences in one batch."""
    cells = expected.score.shape[-1]
    torch_has, graph_has = usable(expected.peaks, cells), usable(actual, cells)
    both = torch_has & graph_has
    moved = both & (expected.peaks.index != actual.index)
    score, other_score = (
        np.take_along_axis(expected.score, np.where(both, peaks.index, 0), -1)
        for peaks in (expected.peaks, actual)
    )
    tie = moved & np.isclose(score, other_score, rtol=0.0, atol=TIE)
    ours, theirs = (decoded(peaks, spec) for peaks in (expected.peaks, actual))
    theirs.xy[~graph_has[..., 0]] = np.nan
    distance = np.linalg.norm(ours.xy - theirs.xy, axis=-1).round(PIXEL_DIGITS)
    distance[~both[..., 0] | tie[..., 0] | ~ours.reported] = np.nan
    known = both[:, : ours.visible.shape[1], 0]
    visible = np.where(known, np.abs(ours.visible - theirs.visible), np.nan).round(RESPONSE_DIGITS)
    responses = (np.where(both, peaks[1:4], 0.0) for peaks in (expected.peaks, actual))
    response = np.abs(np.subtract(*responses, dtype=np.float64)).max(0).round(RESPONSE_DIGITS)
    displaced = moved & ~tie
    displaced[..., 0] = False
    truth, counted, limit = truths(expected, ours)
    correct = (metrics.distances(xy, truth) <= limit[:, None] for xy in (ours.xy, theirs.xy))
    return Differences(
        distance,
        np.where(both & ~moved, response, np.nan),
        visible,
        expected.peaks.index != NO_PEAK,
        tie,
        displaced,
        torch_has != graph_has,
        counted,
        *correct,
    )


def usable(peaks: Peaks, cells: int) -> Mask:
    """Which peaks [B, R, M] exist, lie in the map and have finite numbers."""
    inside = (peaks.index >= 0) & (peaks.index < cells)
    finite = np.isfinite(np.stack(peaks[1:4])).all(0) & ~np.isnan(peaks.neighbourhood).any((-2, -1))
    return np.asarray(inside & finite)


def truths(expected: Expected, ours: Decoded) -> tuple[Float, Mask, Float]:
    """Where the keypoints are [B, R, 2], which of them count [B, R], and how far off is still right [B], crop px.

    A crop without annotations has torch's keypoints for the truth; annotations count in the first K maps.
    """
    truth, counted = ours.xy.copy(), np.isfinite(ours.xy).all(-1) & ours.reported
    limit = np.full(len(truth), UNLABELLED_THRESHOLD * max(expected.images.shape[1:3]))
    for b, label in enumerate(expected.labels):
        if label is not None:
            count = len(label.counted)
            truth[b, :count], counted[b, :count], counted[b, count:] = label.keypoints, label.counted, False
            limit[b] = label.threshold * label.length
    return truth, counted, limit

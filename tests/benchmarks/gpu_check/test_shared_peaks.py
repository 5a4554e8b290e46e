from __future__ import annotations

import numpy as np
import pytest

from coke_edge.benchmarks.gpu_check.shared_peaks import shared_peaks
from coke_edge.kernels import reference
from coke_edge.kernels.reference import Peaks, ScoreMaps


def peaks_of(*places: tuple[int, int, float], ground: float = 0.0, count: int = 2) -> Peaks:
    """The best peaks of one map of 6 × 9 cells with these scores at (row, column)."""
    score = np.full((1, 1, 6, 9), ground, np.float32)
    for row, column, value in places:
        score[0, 0, row, column] = value
    zeros = np.zeros((1, 6, 9), np.float32)
    return reference.find_peaks(ScoreMaps(score, score, zeros, zeros), count)


def test_the_same_peaks_in_another_order_are_shared() -> None:
    both = shared_peaks(peaks_of((1, 1, 0.9), (4, 7, 0.8)), peaks_of((1, 1, 0.8), (4, 7, 0.9)), 0.01)
    assert both.unexplained == 0
    assert sorted(zip(both.rank.tolist(), both.other.tolist(), strict=True)) == [(0, 1), (1, 0)]


@pytest.mark.parametrize(
    ("found", "unexplained"),
    [
        (peaks_of((1, 1, 0.9), (4, 7, 0.5)), 0),
        (peaks_of((1, 1, 0.9), (4, 4, 0.505)), 0),  # the last of two that score alike
        (peaks_of((1, 1, 0.9), (4, 4, 0.6)), 1),  # one that scores more, in place of the last
        (peaks_of((1, 1, 0.9), (3, 4, 0.7), (3, 5, 0.695), (4, 7, 0.5)), 0),  # it hardly rises
        (peaks_of((1, 1, 0.9), (3, 4, 0.7), (3, 5, 0.6), (4, 7, 0.5)), 1),  # it does
    ],
)
def test_what_one_alone_has_must_be_a_matter_of_rounding(found: Peaks, unexplained: int) -> None:
    expected = peaks_of((1, 1, 0.9), (4, 7, 0.5))
    assert shared_peaks(found, expected, 0.01).unexplained == unexplained
    assert shared_peaks(expected, found, 0.01).unexplained == unexplained


def test_nothing_found_and_nan() -> None:
    expected = peaks_of((1, 1, 0.9), (4, 7, 0.5))
    nothing = Peaks(*(values.copy() for values in expected))
    nothing.index[:] = reference.NO_PEAK
    nothing.neighbourhood[:] = -np.inf
    assert shared_peaks(nothing, expected, 0.01).unexplained == 2
    assert len(shared_peaks(nothing, expected, 0.01).crop) == 0
    broken = Peaks(*(values.copy() for values in expected))
    broken.index[..., 0] = 3
    broken.neighbourhood[..., 0, :, :] = np.nan
    assert shared_peaks(broken, expected, 0.01).unexplained > 0

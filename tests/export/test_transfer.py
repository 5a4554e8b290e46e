"""P(visible) moved to another clutter bank."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from coke_edge.decode import visibility
from coke_edge.export.transfer import cross_fitted, transfer
from coke_edge.kernels.reference import NO_PEAK, Peaks
from coke_edge.manifest import EvidenceSpec, VisibilitySpec

SPEC = VisibilitySpec(9.0, 3.0, -8.0, (-3.0, -2.5))


def peaks(rng: np.random.Generator, images: int) -> Peaks:
    """Random quantities of two keypoints."""
    s, c, soft = rng.uniform(0, 1, (3, images, 2, 1)).astype(np.float32)
    return Peaks(
        np.arange(2 * images, dtype=np.int32).reshape(images, 2, 1),
        s,
        c,
        soft,
        np.zeros((images, 2, 1, 3, 3)),
    )


@pytest.fixture
def before() -> Peaks:
    return peaks(np.random.default_rng(0), 40)


def shifted(before: Peaks) -> Peaks:
    """As if the bank were another: c and ĉ scaled, shifted and mixed."""
    return before._replace(
        clutter=(0.8 * before.clutter - 0.1).astype(np.float32),
        soft_clutter=(1.1 * before.soft_clutter + 0.2 * before.clutter + 0.3).astype(np.float32),
    )


def test_what_is_linear_is_undone(before: Peaks) -> None:
    after = shifted(before)
    moved = transfer(SPEC, before, after)
    assert np.abs(visibility(after, SPEC) - visibility(before, SPEC)).max() > 0.2
    np.testing.assert_allclose(visibility(after, moved), visibility(before, SPEC), atol=1e-4)
    assert moved.bias[1] - moved.bias[0] == pytest.approx(0.5)
    assert cross_fitted(SPEC, before, after).max() < 1e-4


def test_the_same_bank_keeps_the_slopes(before: Peaks) -> None:
    moved = transfer(SPEC, before, before)
    np.testing.assert_allclose(
        (moved.similarity, moved.clutter, moved.soft_clutter, *moved.bias), (9, 3, -8, -3, -2.5), atol=1e-5
    )


def test_the_evidence_is_moved_with_the_rest(before: Peaks) -> None:
    around = np.random.default_rng(2).uniform(0, 1, before.neighbourhood.shape)
    before = before._replace(neighbourhood=around.astype(np.float32))
    spec = SPEC.with_slopes((9, 3, -8), SPEC.bias)
    spec = msgspec.structs.replace(spec, evidence=EvidenceSpec(4.0, 1, 0.07))
    after = shifted(before)._replace(neighbourhood=(before.neighbourhood - 0.3).astype(np.float32))
    moved = transfer(spec, before, after)
    np.testing.assert_allclose(visibility(after, moved), visibility(before, spec), atol=1e-4)
    assert moved.evidence is not None
    assert moved.evidence.slope == pytest.approx(4, abs=1e-3)
    assert (moved.evidence.peaks, moved.evidence.temperature) == (1, 0.07)


def test_equal_quantities_get_moderate_slopes(before: Peaks) -> None:
    """With one row c and ĉ differ by rounding alone: without a bound their slopes would be of any size."""
    noise = np.random.default_rng(1).normal(0, 1e-7, before.clutter.shape).astype(np.float32)
    after = before._replace(soft_clutter=before.clutter + noise)
    moved = transfer(SPEC, before, after)
    assert abs(moved.clutter) < 10
    assert moved.clutter == pytest.approx(moved.soft_clutter, rel=1e-3)


def test_only_peaks_in_the_same_cell_teach(before: Peaks) -> None:
    after = shifted(before)
    wrong = after._replace(index=after.index.copy(), clutter=after.clutter.copy())
    wrong.index[3, 0], wrong.index[4, 1] = NO_PEAK, 77
    wrong.clutter[3, 0], wrong.clutter[4, 1] = -np.inf, 50.0
    moved = transfer(SPEC, before, wrong)
    np.testing.assert_allclose(visibility(after, moved), visibility(before, SPEC), atol=1e-4)


def test_nothing_in_common_keeps_the_calibration(before: Peaks) -> None:
    after = before._replace(index=before.index + 1)
    assert transfer(SPEC, before, after) is SPEC


def test_each_half_is_measured_with_the_other(before: Peaks) -> None:
    """Odd images follow another law than even ones: fitted on all, both would look better than they are."""
    after = shifted(before)
    soft: Any = after.soft_clutter.copy()
    soft[1::2] = before.soft_clutter[1::2] - 0.4
    assert cross_fitted(SPEC, before, after._replace(soft_clutter=soft)).mean() > 0.1


def test_one_image_is_never_measured_with_itself() -> None:
    before = peaks(np.random.default_rng(0), 1)
    gap = cross_fitted(SPEC, before, shifted(before))
    np.testing.assert_allclose(gap, np.abs(visibility(shifted(before), SPEC) - visibility(before, SPEC)))

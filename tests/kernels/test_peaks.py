"""The second pass alone, under Triton's interpreter, against the numpy definition: exact, ties and all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coke_edge.kernels import fused
from coke_edge.kernels.packed import unpack
from coke_edge.kernels.reference import NO_PEAK, Peaks, ScoreMaps, find_peaks
from coke_edge.kernels.spec import HeadSpec

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, on NaN, in the interpreter

Float = NDArray[np.float32]


def run(similarity: Float, head: HeadSpec, response: Float, mass: Float | None = None) -> tuple[Peaks, Float]:
    """Peaks and scores of similarities [B, K, H, W] and parts [T, B, H, W]."""
    b, k, h, w = similarity.shape
    maps = torch.from_numpy(similarity.reshape(b, k, h * w).copy())
    parts = torch.from_numpy(response.reshape(len(response), b, h * w))
    masses = parts if mass is None else torch.from_numpy(mass.reshape(parts.shape))
    packed = fused.reduce(maps, parts, masses, maps, w, head, mass is not None)
    return unpack(packed.numpy()), maps.numpy().reshape(similarity.shape)


def expected(score: Float, count: int) -> Peaks:
    clutter = np.full((len(score), *score.shape[2:]), -1, np.float32)
    return find_peaks(ScoreMaps(score, score, clutter, clutter), count)


def no_clutter(similarity: Float) -> Float:
    return np.zeros((0, len(similarity), *similarity.shape[2:]), np.float32)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 12), st.integers(1, 15)),
    st.integers(1, 8),
    st.integers(1, 4),
)
def test_peaks_of_maps_full_of_ties(seed: int, shape: tuple[int, ...], count: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.integers(0, values, shape).astype(np.float32)
    score[rng.random(shape) < 0.1] = np.nan
    found, scores = run(score, HeadSpec("similarity", 1, 1, count), no_clutter(score))
    score = np.where(np.isnan(score), -np.inf, score)
    assert np.array_equal(scores, score)
    wanted = expected(score, count)
    assert np.array_equal(found.index, wanted.index)
    assert np.array_equal(found.similarity, wanted.similarity)
    assert np.array_equal(found.neighbourhood, wanted.neighbourhood)


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_parts_are_joined(parts: int) -> None:
    rng = np.random.default_rng(parts)
    similarity = rng.uniform(-1, 1, (2, 2, 4, 6)).astype(np.float32)
    response = rng.uniform(-1, 1, (parts, 2, 4, 6)).astype(np.float32)
    mass = rng.uniform(1, 50, response.shape).astype(np.float32)
    hard = response.max(0)
    total = (mass.astype(np.float64) * np.exp((response - hard) / 0.1)).sum(0)
    soft = (hard + 0.1 * np.log(0.02 * total)).astype(np.float32)
    for rule, against in (("margin", hard), ("log_odds", soft)):
        found, score = run(similarity, HeadSpec(rule, 0.1, 0.02, 3), response, mass)
        np.testing.assert_allclose(score, similarity - against[:, None], atol=1e-6)
        wanted = find_peaks(ScoreMaps(score, similarity, hard, soft), 3)
        assert np.array_equal(found.index, wanted.index)
        for quantity, value in zip(found[1:], wanted[1:], strict=True):
            np.testing.assert_allclose(quantity, value, atol=1e-6)


def test_a_hundred_thousand_cells() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=(1, 1, 250, 400)).astype(np.float32)
    score[0, 0, 249, 399] = score[0, 0, 120, 7] = 9  # equals, the last cell one of them
    found, _ = run(score, HeadSpec("similarity", 1, 1, 5), no_clutter(score))
    wanted = expected(score, 5)
    assert found.index[0, 0, :2].tolist() == [120 * 400 + 7, 99_999]
    assert np.array_equal(found.index, wanted.index)
    assert np.array_equal(found.neighbourhood, wanted.neighbourhood)


def test_a_score_that_is_not_finite_is_no_peak() -> None:
    score = np.full((1, 1, 2, 3), -np.inf, np.float32)
    found, _ = run(score, HeadSpec("similarity", 1, 1, 2), no_clutter(score))
    assert (found.index == NO_PEAK).all()
    # A clutter bank of no weight: ĉ = −∞ everywhere, so q = ∞ everywhere.
    zero = np.zeros((1, 1, 2, 3), np.float32)
    found, _ = run(zero, HeadSpec("log_odds", 1, 0, 2), zero, zero + 1)
    assert (found.index == NO_PEAK).all()
    assert (found.neighbourhood == -np.inf).all()


def test_scores_may_go_elsewhere() -> None:
    rng = np.random.default_rng(3)
    similarity = torch.from_numpy(rng.normal(size=(1, 2, 12)).astype(np.float32))
    before, score = similarity.clone(), torch.empty_like(similarity)
    fused.reduce(
        similarity, torch.zeros(1, 1, 12), torch.ones(1, 1, 12), score, 4, HeadSpec("margin", 1, 1), True
    )
    assert torch.equal(similarity, before)
    assert torch.equal(score, before)

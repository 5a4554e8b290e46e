from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coke_edge.kernels.reference import NO_PEAK, find_peaks, local_maxima, match, score_maps, unit
from coke_edge.kernels.spec import HeadSpec, Rule

Float = NDArray[np.float64]

HEADS = st.builds(
    HeadSpec,
    rule=st.sampled_from(["similarity", "margin", "log_odds"]),
    temperature=st.floats(0.02, 1.0),
    clutter_weight=st.floats(0.001, 10.0),
    peaks=st.integers(1, 8),
)
RULES: list[Rule] = ["similarity", "margin", "log_odds"]


@dataclasses.dataclass
class Problem:
    """Random inputs of the head, in float64 so that tolerances can be tight."""

    features: Float  # [B, C, H, W]
    prototypes: Float  # [K, C]
    clutter: Float  # [N, C]


@st.composite
def problems(draw: st.DrawFn, least_clutter: int = 0) -> Problem:
    b, k, h, w = (draw(st.integers(1, n)) for n in (2, 4, 6, 7))
    n, c = draw(st.integers(least_clutter, 9)), draw(st.integers(2, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Problem(
        rng.normal(size=(b, c, h, w)) * draw(st.sampled_from([1e-3, 1.0, 1e3])),
        unit(rng.normal(size=(k, c)), axis=1),
        unit(rng.normal(size=(n, c)), axis=1),
    )


def plain(problem: Problem, head: HeadSpec, counts: Float) -> tuple[Float, Float, Float, Float]:
    """q, s [B, K, H, W], c, ĉ [B, H, W], by the formulas, cell by cell."""
    b, _, h, w = problem.features.shape
    k = len(problem.prototypes)
    q, s = np.empty((b, k, h, w)), np.empty((b, k, h, w))
    c, soft = np.full((b, h, w), -1.0), np.full((b, h, w), -1.0)
    for i, y, x in np.ndindex(b, h, w):
        u = problem.features[i, :, y, x]
        u = u / np.sqrt((u * u).sum())
        products = [float(u @ row) for row in problem.clutter]
        if products:
            c[i, y, x] = max(products)
            terms = [m * np.exp(p / head.temperature) for m, p in zip(counts, products, strict=True)]
            soft[i, y, x] = head.temperature * np.log(head.clutter_weight * sum(terms))
        for j in range(k):
            s[i, j, y, x] = float(u @ problem.prototypes[j])
            against = {"similarity": 0.0, "margin": c[i, y, x], "log_odds": soft[i, y, x]}[head.rule]
            q[i, j, y, x] = s[i, j, y, x] - against
    return q, s, c, soft


@given(problems(), HEADS)
def test_maps_are_the_formulas(problem: Problem, head: HeadSpec) -> None:
    counts = np.arange(1.0, len(problem.clutter) + 1)
    maps = score_maps(problem.features, problem.prototypes, problem.clutter, head, counts)
    for found, expected in zip(maps, plain(problem, head, counts), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@given(problems(), HEADS)
def test_peaks_are_the_best_local_maxima(problem: Problem, head: HeadSpec) -> None:
    args = (problem.features, problem.prototypes, problem.clutter, head)
    score = score_maps(*args).score
    peaks = match(*args)
    b, k, h, w = score.shape
    for i, j in np.ndindex(b, k):
        expected = []
        for y, x in np.ndindex(h, w):
            around = score[i, j, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
            if score[i, j, y, x] == around.max():  # no ties in random numbers
                expected.append((-score[i, j, y, x], y * w + x))
        indices = [cell for _, cell in sorted(expected)][: head.peaks]
        indices += [NO_PEAK] * (head.peaks - len(indices))
        assert peaks.index[i, j].tolist() == indices
        assert peaks.index[i, j, 0] == score[i, j].argmax()
        for m, cell in enumerate(indices):
            square = np.full((3, 3), -np.inf)
            if cell != NO_PEAK:
                y, x = divmod(cell, w)
                padded = np.pad(score[i, j], 1, constant_values=-np.inf)
                square = padded[y : y + 3, x : x + 3]
            np.testing.assert_allclose(peaks.neighbourhood[i, j, m], square, rtol=1e-6)


@given(problems(least_clutter=1), HEADS, st.integers(0, 2**32 - 1))
def test_rotating_the_feature_space_changes_nothing(problem: Problem, head: HeadSpec, seed: int) -> None:
    c = problem.features.shape[1]
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(c, c)))[0]
    turned = np.einsum("dc,bchw->bdhw", rotation, problem.features)
    maps = score_maps(problem.features, problem.prototypes, problem.clutter, head)
    again = score_maps(turned, problem.prototypes @ rotation.T, problem.clutter @ rotation.T, head)
    for a, b in zip(maps, again, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


@given(problems(least_clutter=1), HEADS, st.randoms(use_true_random=False))
def test_the_order_of_the_clutter_bank_does_not_matter(
    problem: Problem, head: HeadSpec, random: object
) -> None:
    order = np.arange(len(problem.clutter))
    random.shuffle(order)
    maps = score_maps(problem.features, problem.prototypes, problem.clutter, head)
    again = score_maps(problem.features, problem.prototypes, problem.clutter[order], head)
    for a, b in zip(maps, again, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@given(problems(least_clutter=1), HEADS, st.data())
def test_counts_are_repeated_rows(problem: Problem, head: HeadSpec, data: st.DataObject) -> None:
    n = len(problem.clutter)
    counts = np.array(data.draw(st.lists(st.integers(1, 5), min_size=n, max_size=n)))
    few = score_maps(problem.features, problem.prototypes, problem.clutter, head, counts.astype(float))
    many = score_maps(problem.features, problem.prototypes, np.repeat(problem.clutter, counts, 0), head)
    for a, b in zip(few, many, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


@given(problems(), HEADS, st.floats(1e-3, 1e3))
def test_the_length_of_a_feature_does_not_matter(problem: Problem, head: HeadSpec, factor: float) -> None:
    maps = score_maps(problem.features, problem.prototypes, problem.clutter, head)
    again = score_maps(problem.features * factor, problem.prototypes, problem.clutter, head)
    for a, b in zip(maps, again, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_an_empty_clutter_bank_is_the_lowest_similarity(rule: Rule) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1, 4, 3, 5)).astype(np.float32)
    prototypes = unit(rng.normal(size=(2, 4)).astype(np.float32), axis=1)
    peaks = match(features, prototypes, np.zeros((0, 4), np.float32), HeadSpec(rule, 0.07, 0.005))
    assert (peaks.clutter == -1).all()
    assert (peaks.soft_clutter == -1).all()
    maps = score_maps(features, prototypes, np.zeros((0, 4), np.float32), HeadSpec("similarity", 0.07, 0.005))
    assert np.array_equal(peaks.index[0, :, 0], maps.score[0].reshape(2, -1).argmax(1))


@settings(max_examples=40)
@given(problems(), HEADS, st.data())
def test_a_broken_cell_neither_wins_nor_poisons(
    problem: Problem, head: HeadSpec, data: st.DataObject
) -> None:
    b, c, h, w = problem.features.shape
    i, j, y, x = (data.draw(st.integers(0, n - 1)) for n in (b, c, h, w))
    broken = problem.features.copy()
    broken[i, j, y, x] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    args = (problem.prototypes, problem.clutter, head)
    clean = score_maps(problem.features, *args)
    maps = score_maps(broken, *args)
    others = np.ones(clean.score.shape, bool)
    others[i, :, y, x] = False
    assert np.array_equal(maps.score[others], clean.score[others])
    assert (maps.score[~others] == -np.inf).all()
    peaks = find_peaks(maps, head.peaks)
    assert not (peaks.index[i] == y * w + x).any()
    found = peaks.index != NO_PEAK
    assert np.isfinite(peaks.similarity[found]).all()
    assert np.isfinite(peaks.soft_clutter[found]).all()
    assert not np.isnan(peaks.neighbourhood).any()


@pytest.mark.parametrize("rule", RULES)
def test_a_map_of_nothing_but_nan_has_no_peak(rule: Rule) -> None:
    features = np.full((1, 2, 3, 3), np.nan, np.float32)
    bank = np.eye(2, dtype=np.float32)
    peaks = match(features, bank, bank, HeadSpec(rule, 0.07, 0.005, peaks=2))
    assert (peaks.index == NO_PEAK).all()
    assert all((quantity == -np.inf).all() for quantity in peaks[1:])


@pytest.mark.parametrize("rule", RULES)
def test_a_feature_of_zeros_has_similarity_zero(rule: Rule) -> None:
    bank = np.eye(2, dtype=np.float32)
    peaks = match(np.zeros((1, 2, 1, 1), np.float32), bank, bank, HeadSpec(rule, 0.07, 0.005))
    assert (peaks.index == 0).all()
    assert (peaks.similarity == 0).all()
    assert (peaks.clutter == 0).all()


def test_one_cell() -> None:
    bank = np.eye(3, dtype=np.float32)
    peaks = match(
        np.array([3.0, 4, 0], np.float32).reshape(1, 3, 1, 1), bank, bank, HeadSpec("margin", 1, 1, 3)
    )
    assert peaks.index.tolist() == [[[0, NO_PEAK, NO_PEAK]] * 3]
    np.testing.assert_allclose(peaks.similarity[0, :, 0], [0.6, 0.8, 0.0], rtol=1e-6)
    np.testing.assert_allclose(peaks.neighbourhood[0, :, 0, 1, 1], [-0.2, 0.0, -0.8], atol=1e-6)
    assert np.isinf(peaks.neighbourhood[0, 0, 0]).sum() == 8


def test_indices_above_what_float16_holds() -> None:
    h, w = 260, 256  # 66,560 cells
    features = np.zeros((1, 2, h, w), np.float32)
    features[:, 0] = 1
    features[0, :, 258, 201] = (0, 1)
    peaks = match(
        features, np.array([[0, 1]], np.float32), np.zeros((0, 2), np.float32), HeadSpec("similarity", 1, 1)
    )
    assert peaks.index.item() == 258 * 256 + 201 > 65_504


def test_ties_go_to_the_lowest_index() -> None:
    score = np.zeros((1, 1, 4, 5))
    assert np.flatnonzero(local_maxima(score)).tolist() == [0]
    score[0, 0, 1, 1] = score[0, 0, 1, 2] = score[0, 0, 3, 4] = 1  # a plateau, and its equal far away
    assert [i for i in np.flatnonzero(local_maxima(score)) if score.flat[i] == 1] == [6, 19]
    features = np.zeros((1, 2, 3, 3), np.float32)
    features[:, 0] = 1
    bank = np.eye(2, dtype=np.float32)
    peaks = match(features, bank, bank, HeadSpec("log_odds", 0.07, 0.005, peaks=2))
    assert (peaks.index[..., 0] == 0).all()
    assert (peaks.index[..., 1] == NO_PEAK).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
def test_the_lowest_argmax_is_always_a_local_maximum(seed: int, h: int, w: int) -> None:
    score = np.random.default_rng(seed).integers(0, 3, size=(1, 1, h, w)).astype(np.float64)
    maxima = np.flatnonzero(local_maxima(score))
    assert score.argmax() in maxima
    best = [i for i in maxima if score.flat[i] == score.max()]
    assert min(best) == score.argmax()


def test_dtypes_and_shapes() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(2, 4, 5, 6)).astype(np.float32)
    prototypes = unit(rng.normal(size=(3, 4)).astype(np.float32), axis=1)
    peaks = match(features, prototypes, prototypes, HeadSpec("log_odds", 0.07, 0.005, peaks=4))
    assert peaks.index.dtype == np.int32
    assert all(quantity.dtype == np.float32 for quantity in peaks[1:])
    assert [quantity.shape for quantity in peaks] == [(2, 3, 4)] * 4 + [(2, 3, 4, 3, 3)]

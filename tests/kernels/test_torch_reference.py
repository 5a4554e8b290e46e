"""The torch twin against the numpy definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coke_edge.kernels import reference, torch_reference
from coke_edge.kernels.spec import HeadSpec

RULES = ("similarity", "margin", "log_odds")


def unit_rows(rng: np.random.Generator, rows: int, channels: int) -> Any:
    x = rng.standard_normal((rows, channels))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def tensors(*values: Any) -> list[Any]:
    return [None if value is None else torch.from_numpy(np.ascontiguousarray(value)) for value in values]


def assert_same(actual: Any, expected: Any, tolerance: float) -> None:
    assert actual._fields == expected._fields
    for name, a, b in zip(expected._fields, actual, expected, strict=True):
        assert a.numpy().dtype == b.dtype, name
        np.testing.assert_allclose(a.numpy(), b, rtol=0, atol=tolerance, err_msg=name)


@settings(max_examples=80, deadline=None)
@given(
    rule=st.sampled_from(RULES),
    shape=st.tuples(*(st.integers(1, high) for high in (3, 17, 9, 9))),
    keypoints=st.integers(1, 5),
    clutter=st.integers(0, 30),
    weighted=st.booleans(),
    nan=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_score_maps(
    rule: Any,
    shape: tuple[int, int, int, int],
    keypoints: int,
    clutter: int,
    weighted: bool,
    nan: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal(shape).astype(np.float32)
    if nan:
        features[tuple(rng.integers(shape))] = np.nan
    features[0, :, 0, 0] *= 0.0  # a cell without direction, still NaN where it was
    inputs = [features, unit_rows(rng, keypoints, shape[1]), unit_rows(rng, clutter, shape[1])]
    counts = rng.integers(1, 9, clutter).astype(np.float32) if weighted else None
    head = HeadSpec(rule, 0.07, 0.005)
    expected = reference.score_maps(*inputs, head, counts)
    actual = torch_reference.score_maps(*tensors(*inputs), head, *tensors(counts))
    assert_same(actual, expected, tolerance=4e-6)


SCORES = st.sampled_from([0.0, 0.25, 0.5, 1.0, -1.0, -np.inf])  # few values: many ties


@settings(max_examples=150, deadline=None)
@given(
    score=arrays.arrays(
        np.float32, st.tuples(*(st.integers(1, high) for high in (2, 3, 6, 6))), elements=SCORES
    ),
    count=st.integers(1, 8),
)
def test_peaks_of_the_same_maps_are_identical(score: Any, count: int) -> None:
    rng = np.random.default_rng(0)
    b, _, h, w = score.shape
    similarity = rng.standard_normal(score.shape).astype(np.float32)
    clutter, soft = rng.standard_normal((2, b, h, w)).astype(np.float32)
    maps = reference.ScoreMaps(score, similarity, clutter, soft)
    twins = torch_reference.ScoreMaps(*tensors(*maps))
    assert_same(torch_reference.find_peaks(twins, count), reference.find_peaks(maps, count), tolerance=0.0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_inputs_are_computed_in_float32(rule: Any, dtype: torch.dtype) -> None:
    rng = np.random.default_rng(1)
    features = torch.from_numpy(rng.standard_normal((2, 64, 7, 5)) * 100).to(dtype)
    banks = [torch.from_numpy(unit_rows(rng, rows, 64)).to(dtype) for rows in (4, 50)]
    head = HeadSpec(rule, 0.07, 0.005, 3)
    exact = [tensor.float().numpy() for tensor in (features, *banks)]
    actual = torch_reference.match(features, *banks, head)
    assert_same(actual, reference.match(*exact, head), tolerance=4e-6)


def test_float64_stays_float64() -> None:
    rng = np.random.default_rng(2)
    features = rng.standard_normal((1, 16, 4, 4))
    inputs = [features, unit_rows(rng, 2, 16).astype(float), unit_rows(rng, 9, 16).astype(float)]
    head = HeadSpec("log_odds", 0.07, 0.005)
    actual = torch_reference.score_maps(*tensors(*inputs), head)
    assert_same(actual, reference.score_maps(*inputs, head), tolerance=1e-13)


def test_a_map_without_numbers_has_no_peak() -> None:
    features = torch.full((1, 4, 3, 3), torch.nan)
    found = torch_reference.match(features, torch.eye(4), torch.eye(4), HeadSpec("margin", 0.07, 0.005, 2))
    assert (found.index == reference.NO_PEAK).all()
    assert all((values == -torch.inf).all() for values in found[1:])


def test_more_cells_than_float16_can_count() -> None:
    features = torch.randn(1, 8, 200, 350, generator=torch.Generator().manual_seed(0)).half()
    prototype = torch.nn.functional.normalize(torch.ones(1, 8))
    features.view(8, -1)[:, 69_900] = 2.0
    found = torch_reference.match(features, prototype, torch.empty(0, 8), HeadSpec("similarity", 0.07, 0.005))
    assert found.index.item() == 69_900

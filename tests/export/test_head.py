"""The function of `coke::Match` in ONNX Runtime against the numpy definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coke_edge.export.head import match_function
from coke_edge.kernels import reference
from coke_edge.kernels.reference import NO_PEAK, Peaks
from coke_edge.kernels.spec import HeadSpec

RULES = ("similarity", "margin", "log_odds")


def unit_rows(rng: np.random.Generator, rows: int, channels: int) -> Any:
    x = rng.standard_normal((rows, channels))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def assert_close(actual: Peaks, expected: Peaks, tolerance: float = 4e-6) -> None:
    np.testing.assert_array_equal(actual.index, expected.index)
    for name in Peaks._fields:
        a, b = getattr(actual, name), getattr(expected, name)
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(
    rule=st.sampled_from(RULES),
    peaks=st.sampled_from((1, 2, 5, 8)),
    temperature=st.sampled_from((0.07, 0.01)),  # exp without and with the running maximum
    batch=st.sampled_from((1, 3)),
    keypoints=st.integers(1, 5),
    channels=st.integers(1, 19),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    clutter=st.sampled_from((0, 1, 37)),
    weighted=st.booleans(),
    size_known=st.booleans(),
    nan=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_the_definition(
    run_head: Any,
    rule: Any,
    peaks: int,
    temperature: float,
    batch: int,
    keypoints: int,
    channels: int,
    height: int,
    width: int,
    clutter: int,
    weighted: bool,
    size_known: bool,
    nan: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((batch, channels, height, width)).astype(np.float32)
    if (
        channels == 1
    ):  # a unit of one channel is ±1, all ties: keep the scores apart with the prototypes' sign
        features = np.abs(features)
    if nan:
        features[rng.integers(batch), rng.integers(channels), rng.integers(height), rng.integers(width)] = (
            np.nan
        )
    prototypes, bank = unit_rows(rng, keypoints, channels), unit_rows(rng, clutter, channels)
    counts = rng.integers(1, 50, clutter).astype(np.float32) if weighted else None
    head = HeadSpec(rule, temperature, 0.005, peaks)
    expected = reference.match(features, prototypes, bank, head, counts)
    actual = run_head(features, prototypes, bank, head, counts, size_known)
    # exp and log of equal cells may differ in the last bit, so ties of one channel are compared elsewhere.
    if channels > 1:
        assert_close(actual, expected)
    else:
        np.testing.assert_allclose(actual.similarity[..., 0], expected.similarity[..., 0], atol=4e-6)


@settings(max_examples=30, deadline=None)
@given(
    rule=st.sampled_from(("similarity", "margin")),
    peaks=st.sampled_from((1, 3, 8)),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_ties_go_to_the_lowest_index(
    run_head: Any, rule: Any, peaks: int, height: int, width: int, seed: int
) -> None:
    """Features along the axes make every product exact, and most cells equal."""
    rng = np.random.default_rng(seed)
    axes = np.eye(4, dtype=np.float32)
    features = axes[rng.integers(3, size=(2, height, width))].transpose(0, 3, 1, 2).copy()
    head = HeadSpec(rule, 0.5, 0.005, peaks)
    prototypes, bank = axes[:2], axes[2:]
    assert_close(
        run_head(features, prototypes, bank, head), reference.match(features, prototypes, bank, head)
    )


def test_a_flat_map_has_its_peak_at_the_first_cell(run_head: Any) -> None:
    features = np.ones((1, 4, 3, 5), np.float32)
    found = run_head(
        features, np.eye(4, dtype=np.float32), np.empty((0, 4), np.float32), HeadSpec("margin", 1, 1, 2)
    )
    assert (found.index[..., 0] == 0).all()
    assert (found.index[..., 1] == NO_PEAK).all()
    assert (found.clutter[..., 0] == -1).all()
    assert np.isneginf(found.neighbourhood[..., 1, :, :]).all()


def test_features_without_a_number_have_no_peak(run_head: Any) -> None:
    features = np.full((1, 8, 4, 4), np.nan, np.float32)
    rng = np.random.default_rng(0)
    head = HeadSpec("log_odds", 0.07, 0.005, 2)
    found = run_head(features, unit_rows(rng, 3, 8), unit_rows(rng, 5, 8), head)
    assert (found.index == NO_PEAK).all()
    assert all(np.isneginf(values).all() for values in found[1:])


@pytest.mark.parametrize("peaks", [1, 4])
def test_more_cells_than_float16_can_count(run_head: Any, peaks: int) -> None:
    """The best cell is 69,900 of 70,000: an index kept in half precision would miss it."""
    height, width = 200, 350
    rng = np.random.default_rng(0)
    features = rng.standard_normal((1, 8, height, width)).astype(np.float16)
    prototypes = unit_rows(rng, 2, 8)
    features.reshape(8, -1)[:, 69_900] = prototypes[1] * 4
    bank = unit_rows(rng, 4, 8)
    head = HeadSpec("similarity", 0.07, 0.005, peaks)
    found = run_head(features, prototypes, bank, head)
    assert found.index[0, 1, 0] == 69_900
    assert_close(found, reference.match(features.astype(np.float32), prototypes, bank, head))


def test_low_precision_features_are_computed_in_float32(run_head: Any) -> None:
    rng = np.random.default_rng(3)
    features = (rng.standard_normal((2, 32, 7, 5)) * 200).astype(np.float16)  # squares overflow float16
    prototypes, bank = unit_rows(rng, 3, 32), unit_rows(rng, 50, 32)
    for rule in RULES:
        head = HeadSpec(rule, 0.07, 0.005, 3)
        expected = reference.match(features.astype(np.float32), prototypes, bank, head)
        assert_close(run_head(features, prototypes, bank, head), expected)


def test_uses_standard_operators_only_and_meets_the_bank_no_more_than_needed() -> None:
    def matmuls(rule: Any) -> int:
        function = match_function(HeadSpec(rule, 0.07, 0.005), 100, weighted=False)
        assert {node.domain for node in function} == {""}
        return sum(node.op_type == "MatMul" for node in function)

    # Lengths, the prototypes, and the clutter at the peaks; only margin and log-odds need it at every cell.
    assert (matmuls("similarity"), matmuls("margin"), matmuls("log_odds")) == (3, 4, 4)


def test_a_known_size_is_asked_of_nobody() -> None:
    def asked(size: Any) -> list[str]:
        function = match_function(HeadSpec("similarity", 0.07, 0.005, 4), 10, weighted=True, map_size=size)
        return [node.inputs[0].name for node in function if node.op_type == "Shape"]  # type: ignore[union-attr, misc]

    assert "features" in asked(None)
    assert "features" not in asked((24, 24))


def test_every_form_has_the_same_signature() -> None:
    for rule in RULES:
        for rows in (0, 10):
            proto = ir.to_proto(match_function(HeadSpec(rule, 0.07, 0.005, 2), rows, weighted=False))
            assert list(proto.input) == ["features", "prototypes", "clutter"]
            assert len(proto.output) == len(Peaks._fields)
            assert set(proto.attribute) == {"rule", "temperature", "clutter_weight", "peaks"}

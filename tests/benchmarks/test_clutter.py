"""The table of clutter banks on made-up features, and the head that is timed."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest

from coke_edge.benchmarks.clutter import COLUMNS, Seen, peaks_by_rule, row
from coke_edge.benchmarks.head_latency import head_session
from coke_edge.export.banks import Banks
from coke_edge.export.clutter import compress
from coke_edge.kernels.reference import Peaks, match
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import InputSpec, Keypoints2D, ModelSpec, VisibilitySpec
from coke_edge.train.visibility import RULES

SPEC = ModelSpec(
    Keypoints2D(("a", "b", "c")),
    InputSpec(96, 64, 1.2, (0, 0, 0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    8,
    HeadSpec("similarity", 0.07, 0.005),
    VisibilitySpec(6.0, -2.0, -3.0, (0.0, 0.0, 0.0)),
)


def unit_rows(rng: np.random.Generator, rows: int) -> Any:
    x = rng.standard_normal((rows, 16)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def banks() -> Banks:
    rng = np.random.default_rng(0)
    return Banks(unit_rows(rng, 3), unit_rows(rng, 60))


@pytest.fixture(scope="module")
def seen() -> Seen:
    """Sixteen crops of eight objects, half of them occluded."""
    rng = np.random.default_rng(1)
    features = [rng.standard_normal((8, 16, 8, 12)).astype(np.float32) for _ in range(2)]
    return Seen(
        features,
        rng.uniform(0, 64, (16, 3, 2)),
        np.full(16, 50.0),
        rng.integers(1, 3, (16, 3)).astype(np.uint8),
        np.arange(16) >= 8,
        np.arange(16) % 2 == 1,
        0.2,
    )


def test_peaks_are_those_of_the_definition(seen: Seen, banks: Banks) -> None:
    small = compress(banks, 7)
    for rule, found in peaks_by_rule(seen, small, SPEC.head).items():
        head = HeadSpec(rule, SPEC.head.temperature, SPEC.head.clutter_weight)
        expected = match(np.concatenate(seen.features), head=head, **small.arrays())
        np.testing.assert_array_equal(found.index, expected.index)


def test_a_line_tells_small_from_full(seen: Seen, banks: Banks) -> None:
    full, small = (peaks_by_rule(seen, bank, SPEC.head)["log_odds"] for bank in (banks, compress(banks, 5)))
    same = dict(zip(range(len(COLUMNS)), row(seen, SPEC, "log_odds", 60, full, full), strict=True))
    other = dict(zip(range(len(COLUMNS)), row(seen, SPEC, "log_odds", 5, full, small), strict=True))
    assert (same[0], same[1], same[2], same[3]) == ("log_odds", "60", "0.00 %", "0.00")
    assert [float(same[column]) for column in (8, 9, 12, 13)] == [0.0] * 4
    assert float(other[2].split()[0]) > 5
    assert min(float(other[column]) for column in (3, 8, 9, 12, 13)) > 0


@pytest.mark.parametrize("rule", RULES)
def test_the_head_that_is_timed(seen: Seen, banks: Banks, rule: Any) -> None:
    small = compress(banks, 7)
    session = head_session(types.SimpleNamespace(spec=SPEC), small, rule, 1)  # type: ignore[arg-type]
    found = Peaks(*session.run(None, {"features": seen.features[0][:1]}))
    head = HeadSpec(rule, SPEC.head.temperature, SPEC.head.clutter_weight)
    expected = match(seen.features[0][:1], head=head, **small.arrays())
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_allclose(found.soft_clutter, expected.soft_clutter, atol=1e-5)

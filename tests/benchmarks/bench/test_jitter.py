"""Jitter is between calls that followed each other."""

from __future__ import annotations

import pytest

from coke_edge.benchmarks.bench.jitter import jitter


def test_seams_between_stretches_are_no_steps() -> None:
    assert jitter([1.0, 2.0, 4.0, 100.0, 101.0], [3, 2]) == pytest.approx((1 + 2 + 1) / 3)
    assert jitter([1.0, 2.0, 4.0, 100.0, 101.0], [5]) == pytest.approx((1 + 2 + 96 + 1) / 4)


def test_calls_that_nobody_followed_have_none() -> None:
    assert jitter([1.0, 50.0, 9.0], [1, 1, 1]) == 0.0
    assert jitter([7.0], [1]) == 0.0

"""Errors of medians, and Student's quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coke_edge.benchmarks.bench import noise


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),  # tables of Student's distribution
    [
        (0.5, 7, 0.0),
        (0.975, 1, 12.706),
        (0.9995, 1, 636.62),
        (0.975, 2, 4.303),
        (0.9995, 2, 31.599),
        (0.975, 3, 3.182),
        (0.999, 3, 10.215),
        (0.9995, 3, 12.924),
        (0.975, 5, 2.571),
        (0.975, 10, 2.228),
        (0.995, 7, 3.499),
        (0.9995, 10, 4.587),
        (0.9995, 120, 3.373),
        (0.975, 1e9, 1.960),
        (0.9999, 1e9, 3.719),
    ],
)
def test_students_quantiles(probability: float, freedom: float, expected: float) -> None:
    assert noise.t_quantile(probability, freedom) == pytest.approx(expected, rel=1e-3, abs=1e-12)


@settings(deadline=None)
@given(samples=st.lists(st.floats(0.1, 10), min_size=4, max_size=40), cuts=st.integers(1, 4), data=st.data())
def test_a_weighted_median_is_the_one_of_repeated_samples(
    samples: list[float], cuts: int, data: st.DataObject
) -> None:
    owner = np.sort(np.arange(len(samples)) % cuts)
    counts = np.array([data.draw(st.lists(st.integers(0, 3), min_size=cuts, max_size=cuts))])
    counts[0, 0] += 1
    drawn = np.sort(np.repeat(samples, counts[0][owner]))
    expected = drawn[(len(drawn) - 1) // 2]  # the lower of two in the middle
    assert noise.medians(np.array(samples), owner, counts)[0] == expected


def test_every_draw_has_as_many_slices_as_there_are() -> None:
    counts = noise.draws(17, 50, np.random.default_rng(0))
    assert counts.shape == (50, 17)
    assert (counts.sum(axis=1) == 17).all()


def test_the_error_is_that_of_slices_not_of_samples() -> None:
    """Slices that differ by 5 % leave an error of about 5 % / √16 · 1.25, however many samples they have."""
    random = np.random.default_rng(3)
    levels = np.exp(0.05 * random.standard_normal(16))
    few, many = ({"x": np.repeat(levels, n)} for n in (10, 200))
    errors = [
        noise.estimate({"x": column["x"].tolist()}, [n] * 16)["x"].error
        for column, n in ((few, 10), (many, 200))
    ]
    assert errors[1] == pytest.approx(errors[0], rel=0.2)
    assert 0.005 < errors[0] < 0.04


def test_the_same_samples_give_the_same_estimate() -> None:
    samples = np.random.default_rng(0).random(160).tolist()
    first, second = (noise.estimate({"x": samples}, [10] * 16)["x"] for _ in range(2))
    assert first == second

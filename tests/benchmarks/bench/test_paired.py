"""Ratios within pairs of stretches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from coke_edge.benchmarks.bench.paired import ratios, trimmed_mean


def test_what_both_rows_felt_is_neither_in_the_ratio_nor_in_its_error() -> None:
    moods = np.repeat([1.0, 1.3, 0.8, 2.0, 1.0, 1.1], 5)
    old = {"whole": (10 * moods).tolist(), "warp": (1 * moods).tolist()}
    new = {"whole": (11 * moods).tolist(), "decode": moods.tolist()}
    found = ratios(old, new, [5] * 6, [5] * 6)
    assert found.keys() == {"whole"}
    assert found["whole"].log == pytest.approx(math.log(1.1))
    assert found["whole"].error == pytest.approx(0.0, abs=1e-12)


def test_stretches_of_unlike_lengths_are_paired_in_their_order() -> None:
    found = ratios({"x": [1.0, 1.0, 4.0, 4.0, 9.0]}, {"x": [2.0, 8.0, 18.0]}, [2, 2, 1], [1, 1, 1])
    assert found["x"].log == pytest.approx(math.log(2))


def test_a_pair_in_which_a_mood_began_is_left_out() -> None:
    values = np.asarray([0.1] * 15 + [0.9])
    found = trimmed_mean(values)
    assert found.log == pytest.approx(0.1)
    assert found.freedom == 9  # of 16 values, three at either end are left out


def test_the_error_is_that_of_many_tries() -> None:
    random = np.random.default_rng(0)
    tries = [trimmed_mean(random.standard_normal(16)) for _ in range(2000)]
    spread = np.std([found.log for found in tries])
    assert np.mean([found.error for found in tries]) == pytest.approx(spread, rel=0.1)

"""Spherical k-means keeps what it must, whatever the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coke_edge.export.kmeans import fill_empty, spherical_kmeans


def unit_rows(rng: np.random.Generator, rows: int, channels: int) -> Any:
    x = rng.standard_normal((rows, channels))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    channels=st.integers(1, 8),
    copies=st.integers(1, 3),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_cluster_is_empty_and_no_weight_is_lost(
    rows: int, channels: int, copies: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = np.repeat(
        unit_rows(rng, rows, channels), copies, axis=0
    )  # fewer directions than rows; of one channel, two
    weights = rng.integers(1, 5, len(x)).astype(float)
    count = 1 + round(share * (len(x) - 1))
    clusters = spherical_kmeans(x, weights, count, seed)
    assert clusters.centres.shape == (count, channels)
    np.testing.assert_allclose(np.linalg.norm(clusters.centres, axis=1), 1, atol=1e-12)
    assert set(clusters.assigned.tolist()) == set(range(count))
    np.testing.assert_array_equal(np.bincount(clusters.assigned, weights), clusters.weights)
    assert clusters.weights.sum() == weights.sum()


def test_separate_groups_are_found() -> None:
    rng = np.random.default_rng(0)
    directions = np.eye(6)
    x = np.repeat(directions, 50, axis=0) + 0.05 * rng.standard_normal((300, 6))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    clusters = spherical_kmeans(x, np.ones(300), 6)
    assert sorted(clusters.weights.tolist()) == [50.0] * 6
    assert (clusters.centres @ directions.T).max(axis=1).min() > 0.99


def test_weights_pull_the_centre() -> None:
    x = np.array([[1.0, 0.0], [0.0, 1.0]])
    (centre,) = spherical_kmeans(x, np.array([3.0, 1.0]), 1).centres
    np.testing.assert_allclose(centre, np.array([3.0, 1.0]) / np.sqrt(10))


def test_rows_that_cancel_out_leave_a_unit_centre() -> None:
    (centre,) = spherical_kmeans(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.ones(2), 1).centres
    np.testing.assert_allclose(np.abs(centre), [1.0, 0.0])


def test_as_many_clusters_as_rows_are_the_rows() -> None:
    x = unit_rows(np.random.default_rng(0), 30, 5)
    clusters = spherical_kmeans(x, np.ones(30), 30)
    np.testing.assert_allclose(clusters.centres[clusters.assigned], x, atol=1e-12)


def test_the_same_seed_gives_the_same_clusters() -> None:
    x = unit_rows(np.random.default_rng(0), 200, 8)
    one, two, other = (spherical_kmeans(x, np.ones(200), 16, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.centres, two.centres)
    assert not np.array_equal(one.centres, other.centres)


@pytest.mark.parametrize("empty", [0, 2])
def test_an_empty_cluster_takes_the_row_farthest_from_its_own(empty: int) -> None:
    nearness = np.full((4, 3), 0.1)
    nearness[:, 1] = [0.9, 0.4, 0.8, 0.7]
    assigned = np.array([1, 1, 1, 2 - empty])
    filled = fill_empty(assigned, nearness)
    assert filled[1] == empty
    assert np.bincount(filled, minlength=3).min() == 1

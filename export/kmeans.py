"""Spherical k-means: n directions that stand for many.

    assign   a_i = argmax_j x_i · μ_j
    move     μ_j = Σ_{a_i = j} w_i x_i / ‖Σ_{a_i = j} w_i x_i‖

Everything is computed in float64 from a seed, so the same rows give the same clusters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_ROUNDS = 100
EPSILON = 1e-9

Float = NDArray[np.float64]


class Clusters(NamedTuple):
    """n ≥ 1 clusters of N rows; none is empty."""

    centres: Float  # [n, C], unit rows
    weights: Float  # [n] the weights of each cluster's rows, summed
    assigned: NDArray[np.int64]  # [N] the cluster of each row


def spherical_kmeans(rows: Float, weights: Float, count: int, seed: int = 0) -> Clusters:
    """`count` clusters, 1 ≤ count ≤ N, of unit rows [N, C] with positive weights [N]."""
    centres = spread_out(rows, weights, count, np.random.default_rng(seed))
    assigned = np.full(len(rows), -1)
    for _ in range(MOST_ROUNDS):
        nearness = rows @ centres.T  # [N, n]
        found = fill_empty(nearness.argmax(axis=1), nearness)
        if np.array_equal(found, assigned):
            break
        assigned = found
        centres = directions(rows, weights, assigned, centres)
    summed = np.bincount(assigned, weights, minlength=count).astype(np.float64)
    return Clusters(centres, summed, assigned)


def spread_out(rows: Float, weights: Float, count: int, rng: np.random.Generator) -> Float:
    """Rows to start from [count, C]: each drawn with a chance ∝ weight × distance to those drawn before."""
    drawn = [int(rng.choice(len(rows), p=weights / weights.sum()))]
    distance = np.full(len(rows), np.inf)
    while len(drawn) < count:
        distance = np.minimum(distance, np.maximum(1 - rows @ rows[drawn[-1]], 0.0))
        distance[drawn] = 0.0
        chance = weights * np.where(distance > EPSILON, distance, 0.0)
        if not chance.any():  # only copies of rows already drawn are left: any of them will do
            chance = np.ones(len(rows))
            chance[drawn] = 0.0
        drawn.append(int(rng.choice(len(rows), p=chance / chance.sum())))
    return rows[drawn]


def fill_empty(assigned: NDArray[np.int64], nearness: Float) -> NDArray[np.int64]:
    """The assignment [N] with the row farthest from its centre moved into each cluster that has none."""
    size = np.bincount(assigned, minlength=nearness.shape[1])
    own = np.take_along_axis(nearness, assigned[:, None], axis=1)[:, 0].copy()
    for empty in np.flatnonzero(size == 0):
        farthest = int(np.where(size[assigned] > 1, own, np.inf).argmin())
        size[assigned[farthest]] -= 1
        size[empty] += 1
        assigned[farthest], own[farthest] = empty, np.inf
    return assigned


def directions(rows: Float, weights: Float, assigned: NDArray[np.int64], before: Float) -> Float:
    """Each cluster's mean direction [n, C]; the one `before` if its rows cancel out."""
    total = np.zeros_like(before)
    np.add.at(total, assigned, weights[:, None] * rows)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > EPSILON, total / np.maximum(length, EPSILON), before)

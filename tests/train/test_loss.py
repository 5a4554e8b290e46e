"""The loss against its formulas, written out in numpy with loops."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coke_edge.train import loss

TAU, W = 0.07, 0.005


def unit_rows(rng: np.random.Generator, n: int, c: int = 6) -> np.ndarray:
    x = rng.normal(size=(n, c))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@given(seed=st.integers(0, 999), n=st.integers(1, 6), k=st.integers(1, 5), clutter=st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_contrastive_is_the_authors_formula(seed: int, n: int, k: int, clutter: int) -> None:
    rng = np.random.default_rng(seed)
    f, theta, beta = unit_rows(rng, n), unit_rows(rng, k), unit_rows(rng, clutter)
    own = rng.integers(0, k, n)
    near = rng.random((n, k)) < 0.4
    expected = []
    for i in range(n):
        total = sum(
            math.exp(f[i] @ theta[j] / TAU) for j in range(k) if j == own[i] or not near[i, j]
        ) + W * sum(math.exp(f[i] @ b / TAU) for b in beta)
        expected.append(-math.log(math.exp(f[i] @ theta[own[i]] / TAU) / total))
    got = loss.contrastive(
        torch.from_numpy(f), torch.from_numpy(own), torch.from_numpy(near), torch.from_numpy(theta),
        torch.from_numpy(beta), TAU, W,
    )  # fmt: skip
    assert math.isclose(float(got), np.mean(expected), rel_tol=1e-9, abs_tol=1e-9)


def test_contrastive_without_a_visible_keypoint_is_zero_and_differentiable() -> None:
    f = torch.zeros(0, 6, requires_grad=True)
    value = loss.contrastive(
        f,
        torch.zeros(0, dtype=torch.long),
        torch.zeros(0, 3, dtype=torch.bool),
        torch.randn(3, 6),
        torch.randn(2, 6),
        TAU,
        W,
    )
    value.backward()
    assert float(value) == 0.0


def test_repulsion_is_the_mean_of_all_products() -> None:
    rng = np.random.default_rng(0)
    f, theta = unit_rows(rng, 5), unit_rows(rng, 3)
    expected = np.mean([a @ b for a in f for b in theta])
    assert math.isclose(
        float(loss.repulsion(torch.from_numpy(f), torch.from_numpy(theta))), expected, rel_tol=1e-9
    )
    assert float(loss.repulsion(torch.zeros(0, 6), torch.from_numpy(theta).float())) == 0.0


def dense_by_hand(
    s: np.ndarray,
    cells: np.ndarray,
    visible: np.ndarray,
    absent: np.ndarray,
    null: np.ndarray | None,
    sigma: float,
) -> float:
    b, k, h, w = s.shape
    terms = []
    for i in range(b):
        for j in range(k):
            if not (visible[i, j] or (absent[i, j] and null is not None)):
                continue
            logits = [s[i, j, y, x] / TAU for y in range(h) for x in range(w)]
            total = sum(math.exp(v) for v in logits) + (math.exp(null[j]) if null is not None else 0.0)
            if visible[i, j]:
                cx, cy = cells[i, j]
                g = [
                    math.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
                    for y in range(h)
                    for x in range(w)
                ]
                terms.append(-sum(t / sum(g) * (v - math.log(total)) for t, v in zip(g, logits, strict=True)))
            else:
                assert null is not None
                terms.append(math.log(total) - null[j])
    return float(np.mean(terms)) if terms else 0.0


@given(seed=st.integers(0, 999), with_null=st.booleans())
@settings(max_examples=30, deadline=None)
def test_dense_is_a_softmax_over_the_image(seed: int, with_null: bool) -> None:
    rng = np.random.default_rng(seed)
    b, k, h, w = 2, 3, 4, 5
    s = rng.uniform(-1, 1, (b, k, h, w))
    cells = rng.uniform(0, [w - 1, h - 1], (b, k, 2))
    state = rng.integers(0, 3, (b, k))
    visible, absent = state == 2, state == 1
    null = rng.normal(size=k) if with_null else None
    cells[~visible] = np.nan
    got = loss.dense(
        torch.from_numpy(s), torch.from_numpy(cells), torch.from_numpy(visible), torch.from_numpy(absent),
        None if null is None else torch.from_numpy(null), TAU, 0.7,
    )  # fmt: skip
    assert math.isclose(
        float(got), dense_by_hand(s, cells, visible, absent, null, 0.7), rel_tol=1e-5, abs_tol=1e-6
    )


def test_dense_gradient_is_finite_when_a_keypoint_is_unlabelled() -> None:
    s = torch.zeros(1, 2, 3, 3, requires_grad=True)
    cells = torch.tensor([[[1.0, 1.0], [math.nan, math.nan]]])
    value = loss.dense(
        s, cells, torch.tensor([[True, False]]), torch.tensor([[False, False]]), torch.zeros(2), TAU, 0.7
    )
    value.backward()
    assert s.grad is not None
    assert torch.isfinite(s.grad).all()
    assert s.grad[0, 1].abs().sum() == 0

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


def dense_by_hand(s: np.ndarray, cells: np.ndarray, visible: np.ndarray, sigma: float) -> float:
    b, k, h, w = s.shape
    terms = []
    for i, j in np.ndindex(b, k):
        if visible[i, j]:
            logits = [s[i, j, y, x] / TAU for y in range(h) for x in range(w)]
            log_total = math.log(sum(math.exp(v) for v in logits))
            cx, cy = cells[i, j]
            g = [
                math.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
                for y in range(h)
                for x in range(w)
            ]
            terms.append(-sum(t / sum(g) * (v - log_total) for t, v in zip(g, logits, strict=True)))
    return float(np.mean(terms)) if terms else 0.0


def presence_by_hand(s: np.ndarray, visible: np.ndarray, hidden: np.ndarray, null: np.ndarray) -> float:
    terms = []
    for i, j in np.ndindex(*visible.shape):
        z = np.exp(s[i, j] / TAU).sum()
        log_total = math.log(z + math.exp(null[j]))  # 1 − P from its own numerator: 1 − p would cancel
        terms += [log_total - math.log(z)] * bool(visible[i, j]) + [log_total - null[j]] * bool(hidden[i, j])
    return float(np.mean(terms)) if terms else 0.0


@given(seed=st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_dense_and_presence_are_their_formulas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    b, k, h, w = 2, 3, 4, 5
    s = rng.uniform(-1, 1, (b, k, h, w))
    cells = rng.uniform(0, [w - 1, h - 1], (b, k, 2))
    state = rng.integers(0, 3, (b, k))
    visible, hidden = state == 2, state == 1
    null = rng.normal(5, 5, size=k)
    cells[~visible] = np.nan
    maps, seen, gone = torch.from_numpy(s), torch.from_numpy(visible), torch.from_numpy(hidden)
    got = loss.dense(maps, torch.from_numpy(cells), seen, TAU, 0.7)
    assert math.isclose(float(got), dense_by_hand(s, cells, visible, 0.7), rel_tol=1e-5, abs_tol=1e-6)
    got = loss.presence(maps, seen, gone, torch.from_numpy(null), TAU)
    assert math.isclose(float(got), presence_by_hand(s, visible, hidden, null), rel_tol=1e-6, abs_tol=1e-9)


def placement_by_hand(
    s: np.ndarray, s_hidden: np.ndarray, cells: np.ndarray, visible: np.ndarray, hidden: np.ndarray
) -> float:
    h, w = s.shape[2:]
    terms = []
    for i, j in np.ndindex(*visible.shape):
        if not (visible[i, j] or hidden[i, j]) or np.isnan(cells[i, j]).any():
            continue
        log_total = math.log(np.exp(s[i, j] / TAU).sum() + np.exp(s_hidden[i, j] / TAU).sum())
        own = s if visible[i, j] else s_hidden
        cx, cy = cells[i, j]
        bump = {(y, x): math.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.98) for y in range(h) for x in range(w)}
        total = sum(bump.values())
        terms.append(-sum(t / total * (own[i, j, y, x] / TAU - log_total) for (y, x), t in bump.items()))
    return float(np.mean(terms)) if terms else 0.0


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_placement_is_its_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    s, s_hidden = rng.uniform(-1, 1, (2, 2, 3, 4, 5))
    cells = rng.uniform(0, [4, 3], (2, 3, 2))
    state = rng.integers(0, 3, (2, 3))
    visible, hidden = state == 2, state == 1
    cells[(state == 0) | (hidden & (rng.random((2, 3)) < 0.3))] = np.nan  # hidden, and nobody knows where
    got = loss.placement(*map(torch.from_numpy, (s, s_hidden, cells, visible, hidden)), TAU, 0.7)
    expected = placement_by_hand(s, s_hidden, cells, visible, hidden)
    assert math.isclose(float(got), expected, rel_tol=1e-5, abs_tol=1e-6)


def test_placement_of_no_keypoint_is_zero_and_reaches_both_maps() -> None:
    seen, covered = torch.zeros(2, 1, 3, 4, 5, requires_grad=True).unbind(0)
    nobody = torch.zeros(1, 3, dtype=torch.bool)
    got = loss.placement(seen, covered, torch.full((1, 3, 2), math.nan), nobody, nobody, TAU, 0.7)
    assert float(got) == 0.0
    for gradient in torch.autograd.grad(got, (seen, covered)):
        assert not gradient.any()


def test_dense_and_presence_at_equal_weights_are_one_softmax_with_a_null_class() -> None:
    rng = np.random.default_rng(0)
    s, cells = (
        torch.from_numpy(rng.uniform(-1, 1, (4, 3, 4, 5))),
        torch.from_numpy(rng.uniform(0, 3, (4, 3, 2))),
    )
    everything, nothing = torch.ones(4, 3, dtype=torch.bool), torch.zeros(4, 3, dtype=torch.bool)
    null = torch.from_numpy(rng.normal(5, 5, size=3))
    logits = torch.cat([s.flatten(2) / TAU, null.view(1, 3, 1).expand(4, 3, 1)], dim=2)
    target = loss.gaussian(cells.flatten(0, 1), 4, 5, 0.7).view(4, 3, 20)
    joint = -(target * logits.log_softmax(2)[..., :20]).sum(2).mean()
    parts = loss.dense(s, cells, everything, TAU, 0.7) + loss.presence(s, everything, nothing, null, TAU)
    torch.testing.assert_close(parts, joint, rtol=1e-5, atol=1e-6)


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_squared_and_emptiness_are_their_formulas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    b, k, h, w, sigma = 2, 3, 4, 5, 1.3
    maps = rng.normal(size=(b, k, h, w))
    cells = rng.uniform(0, [w - 1, h - 1], (b, k, 2))
    state = rng.integers(0, 3, (b, k))
    y, x = np.mgrid[:h, :w]
    near, nothing = [], []
    for i, j in np.ndindex(b, k):
        cx, cy = cells[i, j]
        bump = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
        near += [((maps[i, j] - bump) ** 2).sum()] * bool(state[i, j] == 2)
        nothing += [(maps[i, j] ** 2).sum()] * bool(state[i, j] == 1)
    cells[state != 2] = np.nan
    given_maps, given_state = torch.from_numpy(maps), torch.from_numpy(state)
    got = loss.squared(given_maps, torch.from_numpy(cells), given_state == 2, sigma)
    assert math.isclose(float(got), np.mean(near) if near else 0.0, rel_tol=1e-6)
    got = loss.emptiness(given_maps, given_state == 1)
    assert math.isclose(float(got), np.mean(nothing) if nothing else 0.0, rel_tol=1e-6)


def test_gradients_are_finite_when_a_keypoint_is_unlabelled() -> None:
    s = torch.zeros(1, 2, 3, 3, requires_grad=True)
    cells = torch.tensor([[[1.0, 1.0], [math.nan, math.nan]]])
    seen, gone = torch.tensor([[True, False]]), torch.tensor([[False, False]])
    (loss.dense(s, cells, seen, TAU, 0.7) + loss.presence(s, seen, gone, torch.zeros(2), TAU)).backward()
    assert s.grad is not None
    assert torch.isfinite(s.grad).all()
    assert s.grad[0, 1].abs().sum() == 0


def test_without_any_keypoint_every_term_is_a_differentiable_zero() -> None:
    s = torch.zeros(1, 2, 3, 3, requires_grad=True)
    none = torch.zeros(1, 2, dtype=torch.bool)
    total = loss.dense(s, torch.zeros(1, 2, 2), none, TAU, 0.7) + loss.presence(
        s, none, none, torch.zeros(2), TAU
    )
    total.backward()
    assert float(total.detach()) == 0.0

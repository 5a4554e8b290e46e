"""The banks against their definitions, computed with numpy one feature at a time."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coke_edge.train.banks import ClutterBank, KeypointBank


def unit_rows(rng: np.random.Generator, n: int, c: int = 8) -> np.ndarray:
    x = rng.normal(size=(n, c)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@given(seed=st.integers(0, 999), steps=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_average_is_the_direction_of_the_exact_mean(seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    bank = KeypointBank(3, 8, "average")
    start = bank.prototypes().numpy().copy()
    seen: dict[int, list[np.ndarray]] = {}
    for _ in range(steps):
        n = int(rng.integers(0, 5))
        features, keypoint = unit_rows(rng, n), rng.integers(0, 3, n)
        bank.update(torch.from_numpy(features), torch.from_numpy(keypoint))
        for f, k in zip(features, keypoint, strict=True):
            seen.setdefault(int(k), []).append(f)
    for k in range(3):
        mean = np.mean(seen[k], axis=0) if k in seen else start[k]
        np.testing.assert_allclose(bank.prototypes()[k], mean / np.linalg.norm(mean), atol=1e-5)


def test_average_forgets_beyond_its_cap() -> None:
    rng = np.random.default_rng(0)
    features = unit_rows(rng, 30)
    bank = KeypointBank(1, 8, "average", cap=5)
    mean, count = np.zeros(8), 0
    for f in features:
        bank.update(torch.from_numpy(f[None]), torch.zeros(1, dtype=torch.long))
        mean = (count * mean + f) / (count + 1)
        count = min(count + 1, 5)
    np.testing.assert_allclose(bank.prototypes()[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_momentum_is_the_authors_update_of_the_visible_ones() -> None:
    rng = np.random.default_rng(1)
    bank = KeypointBank(2, 8, "momentum", momentum=0.9)
    old = bank.prototypes().numpy().copy()
    features = unit_rows(rng, 3)
    bank.update(torch.from_numpy(features), torch.tensor([1, 1, 1]))
    expected = 0.9 * old[1] + 0.1 * features.mean(0)
    np.testing.assert_allclose(bank.prototypes()[1], expected / np.linalg.norm(expected), atol=1e-6)
    np.testing.assert_array_equal(bank.prototypes()[0], old[0])


def test_both_is_the_momentum_prototype_and_what_gradient_adds_to_it() -> None:
    rng = np.random.default_rng(2)
    torch.manual_seed(0)
    bank = KeypointBank(2, 8, "both", momentum=0.8)
    torch.manual_seed(0)
    average = KeypointBank(2, 8, "momentum", momentum=0.8)
    for _ in range(3):
        features, keypoint = torch.from_numpy(unit_rows(rng, 4)), torch.tensor([0, 1, 1, 0])
        bank.update(features, keypoint)
        average.update(features, keypoint)
        torch.testing.assert_close(bank.prototypes(), average.prototypes(), rtol=0, atol=0)
    residual = rng.normal(size=(2, 8)).astype(np.float32)
    bank.weight.data.copy_(torch.from_numpy(residual))
    summed = average.prototypes().numpy() + residual
    expected = summed / np.linalg.norm(summed, axis=1, keepdims=True)
    np.testing.assert_allclose(bank.prototypes().detach(), expected, atol=1e-6)


def test_the_bank_may_move_between_the_loss_and_its_gradient() -> None:
    bank = KeypointBank(2, 8, "both")
    loss = (bank.prototypes() @ torch.ones(8)).sum()
    bank.update(torch.from_numpy(unit_rows(np.random.default_rng(0), 2)), torch.tensor([0, 1]))
    loss.backward()
    assert bank.weight.grad is not None


@pytest.mark.parametrize("mode", ["learned", "both"])
def test_only_prototypes_that_are_learned_receive_gradient(mode: Literal["learned", "both"]) -> None:
    learned = KeypointBank(2, 8, mode)
    assert [name for name, _ in learned.named_parameters()] == ["weight"]
    learned.prototypes().sum().backward()
    assert learned.weight.grad is not None
    assert learned.weight.grad.abs().sum() > 0
    for other in ("average", "momentum"):
        bank = KeypointBank(2, 8, other)
        assert not list(bank.parameters())
        assert not bank.prototypes().requires_grad


@pytest.mark.parametrize("mode", ["average", "momentum", "learned", "both"])
def test_prototypes_are_unit_rows(mode: str) -> None:
    bank = KeypointBank(4, 8, mode)  # type: ignore[arg-type]
    bank.update(torch.from_numpy(unit_rows(np.random.default_rng(0), 3)), torch.tensor([0, 0, 2]))
    torch.testing.assert_close(bank.prototypes().norm(dim=1), torch.ones(4))


@given(size=st.integers(1, 12), pushes=st.lists(st.integers(0, 20), max_size=8))
@settings(max_examples=60, deadline=None)
def test_clutter_is_a_fifo(size: int, pushes: list[int]) -> None:
    bank = ClutterBank(size, 2)
    history: list[float] = []
    for n in pushes:
        rows = torch.arange(len(history), len(history) + n, dtype=torch.float32)[:, None].repeat(1, 2)
        bank.push(rows)
        history += rows[:, 0].tolist()
        assert sorted(bank.vectors()[:, 0].tolist()) == history[-size:]


def test_an_empty_clutter_bank_takes_nothing() -> None:
    bank = ClutterBank(0, 4)
    bank.push(torch.ones(3, 4))
    assert bank.vectors().shape == (0, 4)


def test_banks_survive_a_state_dict() -> None:
    keypoints, clutter = KeypointBank(2, 4, "average"), ClutterBank(5, 4)
    keypoints.update(torch.eye(4)[:2], torch.tensor([0, 1]))
    clutter.push(torch.eye(4)[:3])
    again, clutter_again = KeypointBank(2, 4, "average"), ClutterBank(5, 4)
    again.load_state_dict(keypoints.state_dict())
    clutter_again.load_state_dict(clutter.state_dict())
    for a, b in ((keypoints, again), (clutter, clutter_again)):
        for bank in (a, b):
            if isinstance(bank, ClutterBank):
                bank.push(torch.full((4, 4), 0.5))
            else:
                bank.update(torch.full((1, 4), 0.5), torch.tensor([1]))
    torch.testing.assert_close(keypoints.prototypes(), again.prototypes(), rtol=0, atol=0)
    torch.testing.assert_close(clutter.vectors(), clutter_again.vectors(), rtol=0, atol=0)

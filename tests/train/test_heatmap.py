"""Heat maps: the losses against plain numpy, the scores, and where gradient goes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, logsumexp

from coke_edge.decode import sub_cell
from coke_edge.kernels.spec import HeadSpec
from coke_edge.kernels.torch_reference import find_peaks
from coke_edge.train import loss
from coke_edge.train.batch import Batch
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE
from coke_edge.train.heatmap import HeatmapModel
from coke_edge.train.model import CokeModel
from coke_edge.train.recipe import Recipe, make_recipe
from coke_edge.train.sampling import cells_of

HEAD = HeadSpec("similarity", 0.07, 0.005)
B, K, CELLS = 2, 3, 8


def small(**keys: object) -> Recipe:
    base = {"backbone": "test_efficientnet", "pretrained": "none", "width": 64, "height": 64, "channels": 16}
    return make_recipe("edge", **{**base, "context": 1, "method": "heatmap", "placement": 0.0, **keys})


@pytest.fixture
def batch() -> Batch:
    rng = np.random.default_rng(0)
    return Batch(
        torch.from_numpy(rng.integers(0, 256, (B, 64, 64, 3), dtype=np.uint8)),
        torch.from_numpy(rng.uniform(4, 60, (B, K, 2)).astype(np.float32)),
        torch.tensor([[VISIBLE, VISIBLE, HIDDEN], [HIDDEN, UNLABELLED, VISIBLE]], dtype=torch.uint8),
        torch.tensor([[8.0, 8.0, 56.0, 56.0]] * B),
        torch.arange(B),
    )


class GivenMaps(HeatmapModel):
    """A heat map whose maps are given instead of computed."""

    given: torch.Tensor

    def features(self, image: torch.Tensor) -> torch.Tensor:
        return self.given

    def maps(self, features: torch.Tensor) -> torch.Tensor:
        return features[:, None]


def given_maps(maps: np.ndarray, **keys: object) -> GivenMaps:
    model = GivenMaps(small(**keys), maps.shape[1])
    model.given = torch.from_numpy(maps.astype(np.float32))
    return model


def set_null(model: HeatmapModel, null: np.ndarray) -> None:
    """Give the null class, if there is one, the logits `null` [K]."""
    if model.null_class:
        similarity = model.null_class.temperature * (null - np.log(CELLS * CELLS))
        model.null_class.similarity.data.copy_(torch.from_numpy(similarity))


def target(xy: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian around a point in crop pixels, height 1, over the cells [8, 8] of stride 8."""
    y, x = np.mgrid[:CELLS, :CELLS]
    column, row = (xy + 0.5) / 8 - 0.5
    return np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * sigma**2))


@pytest.mark.parametrize("presence", [0.0, 0.4])
def test_cross_entropy_is_one_softmax_over_cells(batch: Batch, presence: float) -> None:
    z = np.random.default_rng(1).normal(size=(B, K, CELLS, CELLS))
    model = given_maps(z, presence=presence, dense_sigma=0.9)
    null = np.array([0.5, 2.0, 4.0])
    set_null(model, null)
    dense, gone = [], []
    for b, k in np.ndindex(B, K):
        total = logsumexp(z[b, k])
        with_null = np.logaddexp(total, null[k])
        if batch.visibility[b, k] == VISIBLE:
            g = target(batch.keypoints[b, k].numpy(), 0.9)
            dense.append(-(g / g.sum() * log_softmax(z[b, k])).sum())
            gone.append(with_null - total)
        elif batch.visibility[b, k] == HIDDEN:
            gone.append(with_null - null[k])
    losses = model(batch)
    assert float(losses.dense) == pytest.approx(np.mean(dense), rel=1e-5)
    assert float(losses.presence) == pytest.approx(np.mean(gone) if presence else 0.0, rel=1e-5)
    assert float(losses.total) == pytest.approx(np.mean(dense) + presence * np.mean(gone), rel=1e-5)
    assert float(losses.contrastive) == float(losses.repulsion) == 0.0


def test_hidden_keypoints_are_placed_by_a_layer_of_their_own(batch: Batch) -> None:
    model = HeatmapModel(small(presence=0.4, placement=0.5, dense_sigma=0.9), K)
    losses = model(batch)
    features = model.features(batch.image)
    seen, covered = model.head(features), model.hidden_head(features)
    expected = loss.placement(
        seen,
        covered,
        cells_of(batch.keypoints, 8),
        batch.visibility == VISIBLE,
        batch.visibility == HIDDEN,
        1.0,
        0.9,
    )
    assert float(expected) > 0
    assert float(losses.placement) == pytest.approx(float(expected), rel=1e-5)
    parts = losses.dense + 0.4 * losses.presence + 0.5 * losses.placement
    assert float(losses.total) == pytest.approx(float(parts), rel=1e-6)
    losses.total.backward()
    assert float(model.hidden_head.weight.grad.abs().max()) > 0
    assert HeatmapModel(small(placement=0.5, heatmap_loss="mse"), K).hidden_head is None
    assert HeatmapModel(small(placement=0.0), K).hidden_head is None


@pytest.mark.parametrize("presence", [0.0, 0.4])
def test_mse_is_the_squared_distance_to_a_gaussian_and_to_nothing(batch: Batch, presence: float) -> None:
    h = np.random.default_rng(1).normal(size=(B, K, CELLS, CELLS))
    model = given_maps(h, heatmap_loss="mse", heatmap_sigma=1.2, presence=presence)
    assert model.null_class is None
    near = [
        ((h[b, k] - target(batch.keypoints[b, k].numpy(), 1.2)) ** 2).sum()
        for b, k in np.argwhere(batch.visibility.numpy() == VISIBLE)
    ]
    gone = [(h[b, k] ** 2).sum() for b, k in np.argwhere(batch.visibility.numpy() == HIDDEN)]
    losses = model(batch)
    assert float(losses.dense) == pytest.approx(np.mean(near), rel=1e-5)
    assert float(losses.presence) == pytest.approx(np.mean(gone) if presence else 0.0, rel=1e-5)
    assert float(losses.total) == pytest.approx(np.mean(near) + presence * np.mean(gone), rel=1e-5)


@pytest.mark.parametrize("presence", [0.0, 0.4])
def test_the_similarity_of_a_cell_is_its_log_probability(batch: Batch, presence: float) -> None:
    z = np.random.default_rng(1).normal(size=(B, K, CELLS, CELLS))
    model = given_maps(z, presence=presence)
    set_null(model, np.zeros(K))
    maps = model.score_maps(batch.image, HEAD)
    p = maps.similarity.detach().exp().sum((2, 3)).numpy()
    absent = 1 / (1 + np.exp(logsumexp(z, axis=(2, 3)))) if presence else np.zeros((B, K))
    np.testing.assert_allclose(p + absent, 1.0, rtol=1e-5)
    np.testing.assert_array_equal(maps.score, z.astype(np.float32))
    assert (maps.clutter == -1).all()
    assert (maps.soft_clutter == -1).all()


@pytest.mark.parametrize("presence", [0.0, 0.4])
def test_where_there_is_a_null_class_visibility_reads_it_too(batch: Batch, presence: float) -> None:
    z = np.random.default_rng(1).normal(size=(B, K, CELLS, CELLS))
    z[0, 0] = np.nan  # a map without a peak
    model = given_maps(z, presence=presence)
    null = np.array([0.5, 2.0, 4.0])
    set_null(model, null)
    with torch.no_grad():
        plain = find_peaks(model.score_maps(batch.image, HEAD), 2)
        peaks = model.peaks(batch.image, dataclasses.replace(HEAD, peaks=2))
    for name in ("index", "similarity", "clutter", "neighbourhood"):
        assert torch.equal(getattr(peaks, name), getattr(plain, name))
    total = np.logaddexp(np.nan_to_num(logsumexp(z, axis=(2, 3))), null)
    expected = null - total if presence else np.full((B, K), -1.0)
    expected[0, 0] = -np.inf
    np.testing.assert_allclose(peaks.soft_clutter.numpy(), expected[..., None].repeat(2, -1), rtol=1e-5)


@pytest.mark.parametrize("kind", ["cross_entropy", "mse"])
def test_a_perfect_map_is_read_exactly_between_cells(batch: Batch, kind: str) -> None:
    column, row = 3.3, 4.8
    bump = target(np.array([column, row]) * 8 + 3.5, 1.0)
    perfect = np.log(bump) if kind == "cross_entropy" else bump
    model = given_maps(perfect[None, None], heatmap_loss=kind)
    peaks = find_peaks(model.score_maps(batch.image, HEAD), 1)
    dx, dy = sub_cell(peaks.neighbourhood.numpy())[0, 0, 0]
    y, x = divmod(int(peaks.index[0, 0, 0]), CELLS)
    assert (x + dx, y + dy) == pytest.approx((column, row), abs=1e-4)


def test_it_has_cokes_backbone_and_neck_and_starts_from_the_same_weights() -> None:
    torch.manual_seed(0)
    coke = CokeModel(small(method="coke"), K).state_dict()
    torch.manual_seed(0)
    heat = HeatmapModel(small(), K).state_dict()
    shared = [name for name in coke if name.startswith(("backbone.", "neck."))]
    assert all(torch.equal(coke[name], heat[name]) for name in shared)
    assert set(heat) - set(shared) == {"mean", "std", "null_class.similarity", "head.weight", "head.bias"}


@pytest.mark.parametrize("kind", ["cross_entropy", "mse"])
def test_gradient_reaches_everything_that_is_not_fixed(batch: Batch, kind: str) -> None:
    model = HeatmapModel(small(heatmap_loss=kind, freeze_to_stride=4), K).train()
    assert model.maps(model.features(batch.image)).shape == (B, 1, K, CELLS, CELLS)
    model(batch).total.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert not all(parameter.requires_grad for parameter in model.backbone.parameters())


def test_a_keypoint_that_is_not_labelled_moves_nothing(batch: Batch) -> None:
    for kind in ("cross_entropy", "mse"):
        model = given_maps(np.zeros((B, K, CELLS, CELLS)), heatmap_loss=kind)
        model.given.requires_grad_()
        model(batch).total.backward()
        gradient = model.given.grad
        assert gradient is not None
        moved = gradient.abs().sum((2, 3)) > 0
        # An empty map is already what a hidden keypoint's should be, by the squared error.
        labelled = (batch.visibility == VISIBLE) | ((batch.visibility == HIDDEN) & (kind != "mse"))
        assert torch.equal(moved, labelled)


def test_no_keypoint_at_all_is_a_differentiable_zero(batch: Batch) -> None:
    nothing = batch._replace(visibility=torch.full_like(batch.visibility, UNLABELLED))
    for kind in ("cross_entropy", "mse"):
        losses = HeatmapModel(small(heatmap_loss=kind), K)(nothing)
        losses.total.backward()
        assert float(losses.total.detach()) == 0.0


def test_the_bumps_of_the_two_targets_differ_in_height_only() -> None:
    cells = torch.tensor([[2.4, 3.1]])
    bump, normal = loss.bumps(cells, 6, 7, 0.8), loss.gaussian(cells, 6, 7, 0.8)
    torch.testing.assert_close(normal, bump / bump.sum())
    assert float(normal.sum()) == pytest.approx(1.0)

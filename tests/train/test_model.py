"""The whole network: normalisation, shapes, what a training step changes and what it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coke_edge.errors import CokeError
from coke_edge.kernels.spec import HeadSpec
from coke_edge.train.batch import Batch
from coke_edge.train.data.sample import HIDDEN, VISIBLE
from coke_edge.train.method import normalise
from coke_edge.train.model import CokeModel
from coke_edge.train.recipe import make_recipe

TINY = {
    "backbone": "test_efficientnet",
    "pretrained": "none",
    "width": 64,
    "height": 64,
    "channels": 16,
    "context": 1,
}


def batch(n: int = 2) -> Batch:
    rng = np.random.default_rng(0)
    visibility = np.full((n, 3), VISIBLE, np.uint8)
    visibility[0, 2] = HIDDEN
    return Batch(
        torch.from_numpy(rng.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)),
        torch.from_numpy(rng.uniform(4, 60, (n, 3, 2)).astype(np.float32)),
        torch.from_numpy(visibility),
        torch.tensor([[8.0, 8.0, 56.0, 56.0]] * n),
        torch.arange(n),
    )


def test_normalisation_turns_bgr_bytes_into_the_backbones_rgb() -> None:
    image = torch.tensor([[[[255, 128, 0]]]], dtype=torch.uint8)  # B, G, R
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.6, 0.7])
    expected = [(0.0 - 0.1) / 0.5, (128 / 255 - 0.2) / 0.6, (1.0 - 0.3) / 0.7]
    np.testing.assert_allclose(normalise(image, mean, std)[0, :, 0, 0], expected, rtol=1e-5)


def test_features_are_at_stride_8() -> None:
    model = CokeModel(make_recipe(**TINY), 3).eval()
    assert model.features(torch.zeros(2, 64, 96, 3, dtype=torch.uint8)).shape == (2, 16, 8, 12)
    with pytest.raises(CokeError, match="multiples of 32"):
        model.features(torch.zeros(1, 60, 64, 3, dtype=torch.uint8))


def test_a_step_fills_the_banks_after_the_loss() -> None:
    torch.manual_seed(0)
    recipe = make_recipe(**TINY, prototypes="average", clutter_per_image=5)
    model = CokeModel(recipe, 3).train()
    before = model.prototypes.clone()
    first = model(batch())
    assert model.clutter.shape == (2 * 5 + 1, 16)  # five an image, and the cell of the hidden keypoint
    assert not torch.allclose(model.prototypes, before)
    torch.testing.assert_close(model.clutter.norm(dim=1), torch.ones(11))
    # In evaluation mode nothing is taken in.
    model.eval()
    held = model.prototypes.clone()
    model(batch())
    assert torch.equal(model.prototypes, held)
    assert len(model.clutter) == 11
    assert torch.isfinite(first.total)


def test_the_total_is_the_weighted_sum_and_parts_can_be_off() -> None:
    recipe = make_recipe(**TINY, contrastive=2.0, repulsion=0.5, dense=0.25, presence=3.0, placement=1.5)
    losses = CokeModel(recipe, 3).eval()(batch())
    weighted = 2 * losses.contrastive + 0.5 * losses.repulsion + 0.25 * losses.dense + 3 * losses.presence
    torch.testing.assert_close(losses.total, weighted + 1.5 * losses.placement)
    assert float(losses.placement) > 0
    only = CokeModel(
        make_recipe(**TINY, contrastive=1.0, repulsion=0.0, dense=0.0, presence=0.0, placement=0.0), 3
    ).eval()(batch())
    torch.testing.assert_close(only.total, only.contrastive)
    assert float(only.dense) == 0.0


def test_hidden_keypoints_have_prototypes_and_maps_only_where_they_are_trained() -> None:
    model = CokeModel(make_recipe(**TINY, placement=0.5), 3).train()
    model(batch()).total.backward()
    assert float(model.hidden_bank.weight.grad.abs().max()) > 0
    without = CokeModel(make_recipe(**TINY, placement=0.0), 3)
    assert without.hidden_bank is None
    assert not without.hidden_maps
    image, head = batch().image, HeadSpec("similarity", 0.07, 0.005)
    with torch.no_grad():
        both, one = (m.eval().score_maps(image, head).similarity for m in (model, without))
        unit = torch.nn.functional.normalize(model.features(image), dim=1)
    assert (both.shape[1], one.shape[1]) == (6, 3)
    torch.testing.assert_close(
        both[:, 4], torch.einsum("c,bchw->bhw", model.hidden_bank.prototypes()[1], unit)
    )


@pytest.mark.parametrize("prototypes", ["learned", "average", "momentum", "both"])
def test_gradient_reaches_backbone_and_learned_prototypes(prototypes: str) -> None:
    model = CokeModel(make_recipe(**TINY, prototypes=prototypes, freeze_to_stride=4), 3).train()
    model(batch()).total.backward()
    model.zero_grad()
    model(batch()).total.backward()  # the second step has clutter to contrast with
    trainable = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is not None}
    assert any(name.startswith("backbone.") for name in trainable)
    assert not any(p.grad is not None for p in model.parameters() if not p.requires_grad)
    assert ("keypoint_bank.weight" in trainable) == (prototypes in ("learned", "both"))
    assert "null_class.similarity" in trainable


def test_frozen_statistics_have_no_batchnorm_left_and_free_ones_do() -> None:
    folded = CokeModel(make_recipe(**TINY), 3).backbone
    free = CokeModel(make_recipe(**TINY, fold_batchnorm=False), 3).backbone
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in free.modules())


def test_under_mixed_precision_the_losses_stay_in_float32() -> None:
    torch.manual_seed(0)
    full = CokeModel(make_recipe(**TINY), 3).eval()
    mixed = CokeModel(make_recipe(**TINY, precision="bf16"), 3).eval()
    mixed.load_state_dict(full.state_dict())
    expected, losses = full(batch()), mixed(batch())
    assert all(part.dtype == torch.float32 for part in losses)
    torch.testing.assert_close(losses.total, expected.total, rtol=0.05, atol=0.05)
    assert not torch.equal(losses.total, expected.total)  # the network did run in bfloat16


def test_a_wide_stem_leaves_the_features_at_stride_8() -> None:
    model = CokeModel(make_recipe(**TINY, stem_stride=4), 3).eval()
    assert model.features(torch.zeros(1, 64, 128, 3, dtype=torch.uint8)).shape == (1, 16, 8, 16)
    with pytest.raises(CokeError, match="multiples of 64"):
        model.features(torch.zeros(1, 96, 64, 3, dtype=torch.uint8))

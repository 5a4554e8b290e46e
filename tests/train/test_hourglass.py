"""The stacked hourglass: shapes at odd sizes, supervision of every stack, and the stem."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from coke_edge.errors import CokeError
from coke_edge.kernels.spec import HeadSpec
from coke_edge.train.backbone import create_backbone
from coke_edge.train.batch import Batch
from coke_edge.train.data.sample import VISIBLE
from coke_edge.train.hourglass import Hourglass, HourglassModel, Residual, stem
from coke_edge.train.recipe import Recipe, make_recipe


def small(**keys: object) -> Recipe:
    base = {"backbone": "test_efficientnet", "pretrained": "none", "width": 64, "height": 64, "channels": 8}
    return make_recipe("edge", **{**base, "method": "hourglass", **keys})


def batch(height: int = 64, width: int = 64) -> Batch:
    return Batch(
        torch.zeros(2, height, width, 3, dtype=torch.uint8),
        torch.full((2, 3, 2), 20.0),
        torch.full((2, 3), VISIBLE, dtype=torch.uint8),
        torch.zeros(2, 4),
        torch.arange(2),
    )


@pytest.mark.parametrize(("height", "width"), [(48, 48), (24, 40), (8, 16), (1, 3)])
def test_an_hourglass_keeps_any_size(height: int, width: int) -> None:
    assert Hourglass(8, 4).eval()(torch.zeros(1, 8, height, width)).shape == (1, 8, height, width)


def test_a_residual_module_adds_to_its_input() -> None:
    module = Residual(6, 6).eval()
    last = module.body[-1]
    assert isinstance(last, nn.Conv2d)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    x = torch.randn(1, 6, 4, 4)
    assert torch.equal(module(x), x)


@pytest.mark.parametrize("stacks", [1, 3])
def test_maps_are_at_stride_4_and_the_last_ones_count(stacks: int) -> None:
    model = HourglassModel(small(stacks=stacks), 3).eval()
    image = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    maps = model.maps(model.features(image))
    assert maps.shape == (2, stacks, 3, 16, 24)
    scored = model.score_maps(image, HeadSpec("similarity", 0.07, 0.005))
    assert torch.equal(scored.similarity, maps[:, -1])
    assert not torch.equal(maps[:, 0], maps[:, -1]) or stacks == 1


def test_every_stack_is_supervised() -> None:
    model = HourglassModel(small(stacks=2, presence=0.0), 3).eval()
    whole = model(batch())
    maps = model.maps(model.features(batch().image))
    parts = []
    for stack in maps.unbind(1):
        model.maps = lambda _, stack=stack: stack[:, None]  # type: ignore[method-assign, misc]
        parts.append(model(batch()).dense)
    torch.testing.assert_close(whole.dense, sum(parts))
    torch.testing.assert_close(whole.total, whole.dense)


def test_gradient_reaches_everything_that_is_not_fixed() -> None:
    model = HourglassModel(small(freeze_to_stride=2), 3).train()
    model(batch()).total.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    fixed = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert fixed
    assert all(name.startswith("backbone.") for name in fixed)
    assert any(p.requires_grad for p in model.backbone.parameters())


@pytest.mark.parametrize("name", ["test_efficientnet", "resnet18", "mobilenetv4_conv_small"])
def test_the_stem_is_the_beginning_of_the_backbone(name: str) -> None:
    recipe = small(backbone=name)
    torch.manual_seed(0)
    whole = create_backbone(name, "none").eval()
    torch.manual_seed(0)
    part = stem(recipe).eval()
    x = torch.rand(1, 3, 64, 64)
    (out,) = part(x)
    assert out.shape[-2:] == (16, 16)
    ours, theirs = list(part.state_dict().values()), list(whole.state_dict().values())
    assert len(ours) < 0.5 * len(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=False))


def test_a_backbone_without_stride_4_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coke_edge.train.hourglass.all_features", lambda _: [{"reduction": 8}])
    with pytest.raises(CokeError, match="begins at 4"):
        stem(small())
    with pytest.raises(CokeError, match="leave --stem-stride at 2"):
        stem(small(stem_stride=4))


def test_the_loss_is_the_papers_unless_asked() -> None:
    assert HourglassModel(small(), 3).kind == "mse"
    model = HourglassModel(small(heatmap_loss="cross_entropy"), 3)
    assert model.kind == "cross_entropy"
    assert model.null_class is not None
    assert np.isfinite(float(model(batch()).total))

"""Folding BatchNorm keeps the map and leaves the weights trainable."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from coke_edge.errors import CokeError
from coke_edge.train.fold import fold_batchnorm


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "mobilenetv4_conv_small"])
def test_features_stay_the_same(name: str) -> None:
    torch.manual_seed(0)
    backbone = timm.create_model(name, features_only=True, pretrained=False)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = backbone.eval()(image)
        fold_batchnorm(backbone, torch.rand(1, 3, 64, 64))
        after = backbone.train()(image)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in backbone.modules())
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert all(p.requires_grad for p in backbone.parameters())


class Reordered(nn.Module):
    """Runs its BatchNorm before the convolution that stands before it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.conv(self.norm(x) ** 2)]


def test_a_model_that_runs_in_another_order_is_refused() -> None:
    model = Reordered()
    assert model.norm.running_mean is not None
    model.norm.running_mean.fill_(0.5)
    with pytest.raises(CokeError, match="cannot be folded"):
        fold_batchnorm(model, torch.rand(1, 3, 8, 8))

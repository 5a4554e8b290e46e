"""Optimiser groups and learning rates."""

from __future__ import annotations

import math

import torch
from torch import nn

from coke_edge.train.recipe import make_recipe
from coke_edge.train.schedule import make_optimizer, set_rates


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 1)
        self.neck = nn.Conv2d(4, 4, 1)
        self.keypoint_bank = nn.Linear(4, 2, bias=False)
        self.hidden_bank = nn.Linear(4, 2, bias=False)
        self.neck.bias.requires_grad_(False)  # type: ignore[union-attr]


def test_rates_and_decay_by_kind() -> None:
    model, recipe = Parts(), make_recipe(lr=1e-2, backbone_lr=1e-3, weight_decay=0.1)
    found = {}
    for group in make_optimizer(model, recipe).param_groups:
        for parameter in group["params"]:
            found[id(parameter)] = (group["peak_lr"], group["weight_decay"])
    assert found[id(model.backbone.weight)] == (1e-3, 0.1)
    assert found[id(model.backbone.bias)] == (1e-3, 0.0)
    assert found[id(model.neck.weight)] == (1e-2, 0.1)
    assert found[id(model.keypoint_bank.weight)] == found[id(model.hidden_bank.weight)] == (1e-2, 0.0)
    assert id(model.neck.bias) not in found


def test_warm_up_then_cosine() -> None:
    recipe = make_recipe(lr=2.0, warmup=0.1)
    optimizer = torch.optim.AdamW([{"params": [nn.Parameter(torch.ones(1))], "lr": 2.0, "peak_lr": 2.0}])

    def rate(progress: float) -> float:
        set_rates(optimizer, progress, recipe)
        return float(optimizer.param_groups[0]["lr"])

    assert rate(0.0) == 0.0
    assert math.isclose(rate(0.05), 1.0)
    assert math.isclose(rate(0.1), 2.0)
    assert math.isclose(rate(0.55), 1.0)
    assert rate(0.999) < 1e-3

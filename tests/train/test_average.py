"""The averaged model."""

from __future__ import annotations

import torch
from torch import nn

from coke_edge.train.average import AveragedModel
from coke_edge.train.banks import ClutterBank


def test_weights_and_statistics_are_averaged_and_banks_copied() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), ClutterBank(3, 2))
    averaged = AveragedModel(model, decay=0.5)
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    weight, mean = torch.zeros_like(norm.weight), torch.zeros(2)
    weight += norm.weight.detach()
    for step in range(12):
        with torch.no_grad():
            norm.weight.fill_(float(step))
            norm.running_mean.fill_(2.0 * step)
            model[2].push(torch.full((1, 2), float(step)))  # type: ignore[operator]
        d = min(0.5, (1 + step) / (10 + step))
        weight = d * weight + (1 - d) * step
        mean = d * mean + (1 - d) * 2 * step
        averaged.update(model)
    ours = averaged.module
    torch.testing.assert_close(ours[1].weight, weight)
    torch.testing.assert_close(ours[1].running_mean, mean)
    assert sorted(ours[2].vectors()[:, 0].tolist()) == [9.0, 10.0, 11.0]  # type: ignore[operator]


def test_decay_zero_follows_exactly() -> None:
    model = nn.Linear(2, 2)
    averaged = AveragedModel(model, decay=0.0)
    with torch.no_grad():
        model.weight.add_(1.0)
    averaged.update(model)
    torch.testing.assert_close(averaged.module.weight, model.weight)
    assert not averaged.module.weight.requires_grad

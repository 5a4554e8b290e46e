"""The running average of a model's weights, which is validated, kept and exported."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


class AveragedModel(Generic[Module]):
    """A copy whose weights follow by w̄ ← d·w̄ + (1 − d)·w, d = min(decay, (1 + t)/(10 + t)) at step t.

    BatchNorm's statistics are averaged like weights. Other buffers are copied: the mean of two clutter banks
    would be a bank of features that never were.
    """

    def __init__(self, model: Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.module: Module = copy.deepcopy(model).requires_grad_(False)
        self.blended = {name for name, _ in model.named_parameters()} | batchnorm_statistics(model)

    @torch.no_grad()
    def update(self, model: Module) -> None:
        """Take in the model's weights after an optimiser step."""
        d = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        ours, theirs = self.module.state_dict(), model.state_dict()
        blended = [n for n, t in ours.items() if n in self.blended and t.is_floating_point()]
        torch._foreach_lerp_([ours[n] for n in blended], [theirs[n] for n in blended], 1 - d)
        for name in ours.keys() - set(blended):
            ours[name].copy_(theirs[name])


def batchnorm_statistics(model: nn.Module) -> set[str]:
    """Names of the running means and variances."""
    return {
        f"{name}.{statistic}"
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for statistic in ("running_mean", "running_var")
    }

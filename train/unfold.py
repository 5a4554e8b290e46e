"""The inverse of folding: BatchNorms get statistics again, and the network stays the map that it is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from coke_edge.train.method import Method

AT_ONCE = 16  # images


@torch.no_grad()
def unfold_batchnorm(model: Method, names: Collection[str], images: Tensor) -> None:
    """μ ← mean(x), σ² ← var(x), γ ← √(σ² + ε), β ← β + μ, in place, x what the BatchNorms `names` take of `images`.

    Those BatchNorms add β and nothing else (γ = 1, μ = 0, σ² = 1 − ε). In evaluation mode the network gives the same as
    before, to rounding; in training mode it gives nearly the same, instead of maps of unit variance.
    `images`: uint8 BGR [n, H, W, 3].
    """
    norms = {name: module for name, module in model.named_modules() if name in names}
    moments = {name: Moments() for name in norms}
    hooks = [norm.register_forward_pre_hook(moments[name]) for name, norm in norms.items()]
    was_training = model.training
    model.eval()
    for batch in torch.split(images, AT_ONCE):
        model.features(batch)
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    for name, norm in norms.items():
        assert isinstance(norm, nn.BatchNorm2d)
        set_statistics(norm, *moments[name].result())


def set_statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """The same map with these statistics, both [C]."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(torch.sqrt(norm.running_var + norm.eps))
    norm.bias.add_(norm.running_mean)


class Moments:
    """Mean and variance of each channel over all that passes a module; a forward pre-hook."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: Tensor | None = None  # [2, C] of x and x², float64: small variances beside large means

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        x = inputs[0].detach().double()
        sums = torch.stack([x.sum((0, 2, 3)), (x * x).sum((0, 2, 3))])
        self.sums = sums if self.sums is None else self.sums + sums
        self.count += x.numel() // x.shape[1]

    def result(self) -> tuple[Tensor, Tensor]:
        """Mean and variance [C]."""
        assert self.sums is not None
        mean, square = self.sums / self.count
        return mean, (square - mean * mean).clamp_min(0.0)

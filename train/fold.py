"""BatchNorm with fixed statistics, folded into the convolution before it: fewer passes over memory, same map."""

from __future__ import annotations

import torch
from torch import nn

from coke_edge.errors import CokeError


def fold_batchnorm(model: nn.Module, example: torch.Tensor) -> None:
    """Fold every BatchNorm of `model` into the convolution that stands before it in the same parent, in place.

    The folded weights stay trainable. `example` [1, 3, H, W] goes through the model before and after, since what
    stands before in the list need not run before; raises CokeError if the outputs differ.
    """
    was_training = model.training
    model.eval()
    with torch.no_grad():
        before = model(example)
        for parent in list(model.modules()):
            fold_children(parent)
        after = model(example)
    model.train(was_training)
    for a, b in zip(before, after, strict=True):
        if not torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(a.abs().max())):
            raise CokeError("The BatchNorm of this backbone cannot be folded: pass --no-fold-batchnorm.")


def fold_children(parent: nn.Module) -> None:
    """Fold the pairs (convolution, BatchNorm) among the children of one module."""
    conv: nn.Conv2d | None = None
    for name, child in parent.named_children():
        if isinstance(child, nn.Conv2d):
            conv = child
        elif (
            isinstance(child, nn.BatchNorm2d) and conv is not None and conv.out_channels == child.num_features
        ):
            fold_pair(conv, child)
            # timm's BatchNorm may carry the activation that follows it.
            setattr(parent, name, getattr(child, "act", None) or nn.Identity())
            conv = None


def fold_pair(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """w ← w·γ/√(σ² + ε), b ← (b − μ)·γ/√(σ² + ε) + β."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = torch.zeros_like(norm.running_mean) if conv.bias is None else conv.bias
    conv.weight = nn.Parameter((conv.weight * scale[:, None, None, None]).detach())
    conv.bias = nn.Parameter(((bias - norm.running_mean) * scale + norm.bias).detach())

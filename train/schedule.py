"""The optimiser and its learning rates, as a function of the step alone, so that a resumed run needs no memory."""

from __future__ import annotations

import math

import torch
from torch import nn

from coke_edge.train.recipe import Recipe


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW; the backbone has a rate of its own, and vectors (biases, logits) and prototypes no weight decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = recipe.backbone_lr if name.startswith("backbone.") else recipe.lr
            plain = parameter.ndim < 2 or name.startswith(("keypoint_bank.", "hidden_bank."))
            groups.setdefault((rate, 0.0 if plain else recipe.weight_decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": p, "lr": lr, "peak_lr": lr, "weight_decay": decay} for (lr, decay), p in groups.items()],
        fused=True,
    )


def set_rates(optimizer: torch.optim.Optimizer, progress: float, recipe: Recipe) -> None:
    """Linear warm-up, then a cosine to zero; `progress` ∈ [0, 1) is the share of the steps already done."""
    if progress < recipe.warmup:
        factor = progress / recipe.warmup
    else:
        done = (progress - recipe.warmup) / max(1e-9, 1 - recipe.warmup)
        factor = 0.5 * (1 + math.cos(math.pi * done))
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor

"""The two banks: one prototype per keypoint, and a ring of features that are no keypoint.

Both are modules whose tensors are buffers (or a parameter), so that they survive a checkpoint, move with the
model and are seen by the optimiser only where a recipe says so. All processes of a run hold the same banks: each takes
in the features of all, in the order of their images.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coke_edge.train.distributed import gather_rows

PrototypeMode = Literal["average", "momentum", "learned", "both"]


class KeypointBank(nn.Module):
    """Prototypes θ [K, C], one unit row per keypoint.

    average    θ_k = norm(mean of all features of k so far): the paper's cumulative moving average. The mean is
               exact over the first `cap` features; from then on all that came before weigh as `cap` of them.
    momentum   θ_k ← norm(m·θ_k + (1 − m)·mean of the batch's features of k): the authors' code, without its
               quirk of counting invisible samples as zeros.
    learned    θ_k = norm(v_k), v_k a parameter that receives gradient.
    both       θ_k = norm(μ_k + v_k), μ_k the prototype of `momentum`, v_k a parameter that starts at zero: the
               average stands where the features are from the first steps on, the gradient moves the prototype from
               there to where it tells keypoints apart best.
    """

    mean: Tensor
    count: Tensor

    def __init__(
        self, keypoints: int, channels: int, mode: PrototypeMode, momentum: float = 0.9, cap: int = 4096
    ) -> None:
        super().__init__()
        self.mode: PrototypeMode = mode
        self.momentum = momentum
        self.cap = cap
        start = F.normalize(torch.randn(keypoints, channels), dim=1)
        if mode == "learned":
            self.weight = nn.Parameter(start)
            return
        if mode == "both":
            self.weight = nn.Parameter(torch.zeros(keypoints, channels))
        self.register_buffer("mean", start)
        self.register_buffer("count", torch.zeros(keypoints))

    def prototypes(self) -> Tensor:
        """θ [K, C], unit rows; carries gradient only if `learned` or `both`."""
        if self.mode == "learned":
            return F.normalize(self.weight, dim=1)
        return F.normalize(self.mean + self.weight if self.mode == "both" else self.mean, dim=1)

    @torch.no_grad()
    def update(self, features: Tensor, keypoint: Tensor) -> None:
        """Take in unit features [n, C] of keypoints `keypoint` [n] (after the loss has used the old θ)."""
        if self.mode == "learned":
            return
        features, keypoint = gather_rows(features), gather_rows(keypoint)
        if len(keypoint) == 0:
            return
        total = torch.zeros_like(self.mean).index_add_(0, keypoint, features.to(self.mean.dtype))
        seen = torch.zeros_like(self.count).index_add_(
            0, keypoint, torch.ones_like(keypoint, dtype=self.count.dtype)
        )
        present = seen > 0
        if self.mode in ("momentum", "both"):
            batch_mean = total[present] / seen[present, None]
            blended = self.momentum * self.mean[present] + (1 - self.momentum) * batch_mean
            self.mean[present] = F.normalize(blended, dim=1)
        else:
            # An untouched row still holds its random start, of weight zero.
            summed = self.count[present, None] * self.mean[present] + total[present]
            self.mean[present] = summed / (self.count + seen)[present, None]
        self.count.add_(seen)
        if self.mode == "average":
            self.count.clamp_(max=self.cap)


class ClutterBank(nn.Module):
    """β: the last `size` features that were no keypoint, a ring [N, C] of unit rows without gradient."""

    rows: Tensor
    cursor: Tensor
    filled: Tensor

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(size, channels))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    def vectors(self) -> Tensor:
        """The rows written so far [n ≤ N, C]."""
        return self.rows[: int(self.filled)]

    @torch.no_grad()
    def push(self, *groups: Tensor) -> None:
        """Write groups of unit features [n, C] over the oldest rows, in turn; of more than N, the last N stay."""
        size = len(self.rows)
        features = torch.cat([gather_rows(group) for group in groups])
        features = features[-size:] if size else features[:0]
        slots = (self.cursor + torch.arange(len(features), device=features.device)) % max(size, 1)
        self.rows[slots] = features.to(self.rows.dtype)
        self.cursor.copy_((self.cursor + len(features)) % max(size, 1))
        self.filled.copy_((self.filled + len(features)).clamp(max=size))

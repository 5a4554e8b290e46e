"""The light neck: maps at strides 8, 16, 32 … fused top-down into one map at stride 8."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class ContextBlock(nn.Module):
    """x + relu(1×1(5×5 depthwise(x))): a wide look around, which tells left from right, for few weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W] → the same
        y = self.norm1(self.depthwise(x))
        return x + F.relu(self.norm2(self.pointwise(y)))


class Neck(nn.Module):
    """Lateral 1×1, context blocks at every stride, nearest upsampling and sum from coarse to fine, a last 1×1."""

    def __init__(self, widths: Sequence[int], channels: int, blocks: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, channels, 1, bias=False), nn.BatchNorm2d(channels))
            for width in widths
        )
        self.context = nn.ModuleList(
            nn.Sequential(*(ContextBlock(channels) for _ in range(blocks))) for _ in widths
        )
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps at strides 8, 16, 32 … [B, widths[i], H/8/2^i, W/8/2^i] → [B, C, H/8, W/8]."""
        fine_to_coarse = list(zip(self.lateral, self.context, maps, strict=True))
        lateral, context, deepest = fine_to_coarse[-1]
        x = context(lateral(deepest))
        for lateral, context, skip in reversed(fine_to_coarse[:-1]):
            x = context(lateral(skip) + F.interpolate(x, scale_factor=2.0, mode="nearest"))
        out: Tensor = self.project(x)
        return out

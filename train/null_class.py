"""The null class: "nowhere in this image", beside the cells of a keypoint's map."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class NullClass(nn.Module):
    """ν_k = log(number of cells) + s_k / τ,  s_k learned, 0 to begin with.

    So an untrained map, with equal logits everywhere, says "visible" and "nowhere" with equal probability, and s_k is a
    similarity like those it is held against: a step of the optimiser moves both alike. A logit that is learned itself
    moves 1/τ times slower, and does not come near the cells' total within a training.
    """

    def __init__(self, keypoints: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.similarity = nn.Parameter(torch.zeros(keypoints))

    def forward(self, maps: Tensor) -> Tensor:
        """ν [K] beside maps [B, K, H, W]."""
        return self.similarity / self.temperature + math.log(maps.shape[2] * maps.shape[3])

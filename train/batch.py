"""What one step of training sees: a batch of crops with their labels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """B crops with their labels; coordinates in crop pixels, pixel centres at integers."""

    image: Tensor  # uint8 [B, H, W, 3] BGR
    keypoints: Tensor  # float32 [B, K, 2], NaN where the place is not known
    visibility: Tensor  # uint8 [B, K], UNLABELLED | HIDDEN | VISIBLE
    box: Tensor  # float32 [B, 4]
    seed: Tensor  # int64 [B], for what is drawn at random from the crop's cells

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return Batch(*(t.to(device, non_blocking=True) for t in self))

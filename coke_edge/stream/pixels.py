"""Pixels of any common kind as uint8 BGR."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def to_bgr(image: NDArray[Any]) -> NDArray[np.uint8]:
    """uint8 or uint16 pixels, [H, W], [H, W, 1], [H, W, 3] BGR or [H, W, 4] BGRA, as uint8 [H, W, 3] BGR.

    Gray becomes three equal channels, alpha is dropped, 16 bits are scaled by 255/65535 and rounded.
    Raises ValueError for anything else.
    """
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 = 255 · 257
    channels = image.shape[2] if image.ndim == 3 else image.ndim - 1
    if image.dtype != np.uint8 or channels not in (1, 3, 4):
        raise ValueError(f"no picture: {image.dtype} of shape {image.shape}")
    if channels == 1:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return np.ascontiguousarray(image[..., :3])

"""Where frames and affines lie on their way to a device, and the peaks' words on their way back, in torch."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

AFFINE = (2, 3)


class Key(NamedTuple):
    """What depends on nothing else of a frame and its crops."""

    images: int
    height: int  # of the frame
    width: int


class Staging:
    """Memory for frames up to a number of pixels and for so many affines: page-locked on the host, and the device's."""

    def __init__(self, pixels: int, images: int, device: torch.device) -> None:
        self._pixels, self._images, self._device = pixels, images, device
        pinned = device.type == "cuda"
        self._host_frame = torch.empty(3 * pixels, dtype=torch.uint8, pin_memory=pinned)
        self._host_affines = torch.empty((images, *AFFINE), pin_memory=pinned)
        self._words = torch.empty(0, dtype=torch.int32)
        self._frame = torch.empty_like(self._host_frame, device=device) if pinned else self._host_frame
        self._affines = torch.empty_like(self._host_affines, device=device) if pinned else self._host_affines

    def holds(self, key: Key) -> bool:
        return key.height * key.width <= self._pixels and key.images <= self._images

    def grown(self, key: Key) -> Staging:
        """Another with room for this key too."""
        pixels = max(self._pixels, key.height * key.width)
        return Staging(pixels, max(self._images, key.images), self._device)

    def put(self, frame: NDArray[np.uint8], inverses: NDArray[np.float32]) -> None:
        np.copyto(self._host_frame[: frame.size].numpy().reshape(frame.shape), frame)
        self._host_affines[: len(inverses)].numpy()[:] = inverses

    def device_views(self, key: Key) -> tuple[Tensor, Tensor]:
        """Where a frame [H, W, 3] and its affines [B, 2, 3] lie on the device."""
        shape = key.height, key.width, 3
        return self._frame[: math.prod(shape)].view(shape), self._affines[: key.images]

    def upload(self, key: Key) -> None:
        if self._device.type == "cuda":
            size = 3 * key.height * key.width
            self._frame[:size].copy_(self._host_frame[:size], non_blocking=True)
            self._affines[: key.images].copy_(self._host_affines[: key.images], non_blocking=True)

    def download(self, packed: Tensor) -> Tensor:
        """The words on the host, there once the stream is synchronised."""
        if self._device.type != "cuda":
            return packed
        if self._words.shape != packed.shape:
            self._words = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=True)
        return self._words.copy_(packed, non_blocking=True)

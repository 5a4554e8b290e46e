"""One occluder over an image: a cut-out in its own outline, or a piece of a photo in a random one, at any size."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.train.occluders import OPAQUE, Occluders
from coke_edge.train.occlusion import filled, outline, texture

Image = NDArray[np.uint8]  # [H, W, 3] BGR
Stencil = NDArray[np.uint8]  # [h, w], 1 inside
Corner = tuple[int, int]  # (x, y) of a stencil in its frame


class Piece(NamedTuple):
    """An occluder around a place; what is random about it follows from its seed, so that it can be had at any size."""

    drawn: NDArray[np.uint8]  # a photo [h, w, 3], or a cut-out [h, w, 4] with its alpha
    centre: tuple[float, float]  # frame px
    seed: int

    @classmethod
    def draw(cls, occluders: Occluders, centre: tuple[float, float], rng: np.random.Generator) -> Piece:
        """One of `occluders`. Raises DataError if its file cannot be read."""
        return cls(occluders.draw(rng), centre, int(rng.integers(2**63)))

    def stencil(self, area: float, shape: tuple[int, ...]) -> tuple[Stencil, Corner]:
        """Where it lies in a frame of `shape` when it is about `area` px large; empty if outside."""
        rng = np.random.default_rng(self.seed)
        if self.drawn.shape[2] == 3:
            return filled(outline(self.centre, area, rng), shape)
        size, corner, window = self.cut_out(area, shape)
        opaque = (self.drawn[..., 3] >= OPAQUE).astype(np.uint8)
        mode = cv2.INTER_AREA if size[0] < opaque.shape[1] else cv2.INTER_LINEAR
        stencil = (cv2.resize(opaque * np.uint8(255), size, interpolation=mode) >= 128).astype(np.uint8)
        return np.ascontiguousarray(self.turned(stencil)[window]), corner

    def pixels(self, area: float, shape: tuple[int, ...]) -> Image:
        """What fills its stencil [h, w] at this size: [h, w, 3]."""
        rng = np.random.default_rng([self.seed, 1])
        if self.drawn.shape[2] == 3:
            stencil, _ = self.stencil(area, shape)
            return texture([self.drawn], stencil.shape, rng)
        size, _, window = self.cut_out(area, shape)
        mode = cv2.INTER_AREA if size[0] < self.drawn.shape[1] else cv2.INTER_LINEAR
        patch = cv2.resize(np.ascontiguousarray(self.drawn[..., :3]), size, interpolation=mode)
        return np.ascontiguousarray(self.turned(np.asarray(patch, dtype=np.uint8))[window])

    def cut_out(
        self, area: float, shape: tuple[int, ...]
    ) -> tuple[tuple[int, int], Corner, tuple[slice, slice]]:
        """(width, height) with `area` opaque px, the corner of its part inside the frame, and which part that is."""
        opaque = int(np.count_nonzero(self.drawn[..., 3] >= OPAQUE))
        zoom = math.sqrt(area / opaque)
        height, width = (max(1, round(zoom * side)) for side in self.drawn.shape[:2])
        x, y = round(self.centre[0] - width / 2), round(self.centre[1] - height / 2)
        left, top = min(width, max(0, -x)), min(height, max(0, -y))
        right, bottom = max(left, min(width, shape[1] - x)), max(top, min(height, shape[0] - y))
        return (width, height), (x + left, y + top), (slice(top, bottom), slice(left, right))

    def turned(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Every second cut-out is mirrored."""
        return image[:, ::-1] if self.seed & 1 else image

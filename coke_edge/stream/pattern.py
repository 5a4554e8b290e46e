"""A moving test picture, for runs without a camera."""

from __future__ import annotations

import math
import time
from functools import partial

import cv2
import numpy as np

from coke_edge.stream.camera import Image, Shot

SIZE, FPS = (640, 480), 30.0
PERIOD = 120  # frames of one round


class PatternCamera:
    """A disc on a ring over a gradient, at a steady rate; frame number i is the same in every run."""

    def __init__(self, size: tuple[int, int] = SIZE, fps: float = FPS) -> None:
        self._size = size
        self._step = 1 / fps
        self._index = 0
        self._start = time.monotonic()

    def read(self) -> Shot | None:
        """Wait until the next frame is due."""
        due = self._start + self._index * self._step
        time.sleep(max(0.0, due - time.monotonic()))
        shot = partial(pattern, self._index, self._size)
        self._index += 1
        return shot

    def interrupt(self) -> None:
        """A wait is never longer than one frame."""

    def close(self) -> None:
        """Nothing is held."""


def pattern(index: int, size: tuple[int, int]) -> Image:
    """Frame number `index`: a white disc, whose centre `centre` gives, over a gradient of blue and green."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 128, width)
    image[..., 1] = np.linspace(0, 128, height)[:, None]
    x, y = centre(index, size)
    cv2.circle(image, (round(x), round(y)), max(1, min(size) // 10), (255, 255, 255), cv2.FILLED)
    return image


def centre(index: int, size: tuple[int, int]) -> tuple[float, float]:
    """Where the disc is, in pixels: once around the picture's middle in 120 frames."""
    angle = 2 * math.pi * (index % PERIOD) / PERIOD
    radius = 0.3 * min(size)
    return (size[0] - 1) / 2 + radius * math.cos(angle), (size[1] - 1) / 2 + radius * math.sin(angle)

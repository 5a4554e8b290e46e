"""Looking for a lost object all over the frame, a few windows at a time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from coke_edge.geometry import frame_box
from coke_edge.stream.region import Boxes, Image


class Sweep:
    """A finder that names the whole frame first, then squares from large to small, `batch` in each frame.

    Six windows and the two places that a search follows beside them fill one batch of a TensorRT engine. The demo model
    still recognises a person in a square of 0.7 to 1.4 times the size of the right one, or one that is a quarter of its
    side off (`coke_edge.benchmarks.tracking` measures it). So each square is 1/√2 of the size before it and overlaps
    the next by half. The smallest are `smallest` of the frame's shorter side; then it starts again.
    """

    def __init__(self, batch: int = 6, smallest: float = 0.3) -> None:
        self._batch, self._smallest = batch, smallest
        self._size: tuple[int, int] | None = None
        self._windows: list[NDArray[np.float64]] = []
        self._next = 0

    @property
    def finished(self) -> bool:
        """Whether all windows have been named, and the next ones are the first ones again."""
        return self._next == 0

    def __call__(self, image: Image) -> Boxes:
        """The next windows of an image [H, W, 3]."""
        height, width = image.shape[:2]
        if self._size != (width, height):
            self._size, self._next = (width, height), 0
            self._windows = windows(width, height, self._smallest)
        start = self._next
        stop = min(start + self._batch, len(self._windows))
        self._next = stop % len(self._windows)
        return list(self._windows[start:stop])


def windows(width: int, height: int, smallest: float) -> list[NDArray[np.float64]]:
    """The boxes [4] of a sweep: the frame, then squares in rows."""
    boxes = [frame_box(width, height)]
    side = float(min(width, height))
    while side >= max(smallest * min(width, height), 1):
        columns, rows = (1 + math.ceil(2 * (length - side) / side - 1e-9) for length in (width, height))
        for y in np.linspace(0, height - side, rows):
            for x in np.linspace(0, width - side, columns):
                boxes.append(np.array([x, y, x + side, y + side]) - 0.5)
        side /= math.sqrt(2)
    return boxes

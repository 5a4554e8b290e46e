"""Decoded images kept in memory, so that an epoch after the first does not decode them again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coke_edge.stream.images import read_image


class ImageCache:
    """Reads images and keeps the most recently used ones, up to `max_bytes` of pixels; 0 keeps none.

    It belongs to one process: every loader worker has its own, so the memory is `max_bytes` for each. `reader` makes
    an array of a file; by default it is `read_image`.
    """

    def __init__(self, max_bytes: int = 0, reader: Callable[[Path], NDArray[np.uint8]] | None = None) -> None:
        self.max_bytes = max_bytes
        self.reader = reader
        self.held_bytes = 0
        self._images: OrderedDict[Path, NDArray[np.uint8]] = OrderedDict()

    def read(self, path: Path) -> NDArray[np.uint8]:
        """The image, uint8 [H, W, 3] BGR (or what `reader` makes), read-only: the next caller gets the same array.

        Raises DataError if it is missing or unreadable.
        """
        image = self._images.get(path)
        if image is not None:
            self._images.move_to_end(path)
            return image
        image = read_image(path) if self.reader is None else self.reader(path)
        image.flags.writeable = False
        self._keep(path, image)
        return image

    def _keep(self, path: Path, image: NDArray[np.uint8]) -> None:
        if image.nbytes > self.max_bytes:
            return
        self._images[path] = image
        self.held_bytes += image.nbytes
        while self.held_bytes > self.max_bytes:
            _, dropped = self._images.popitem(last=False)
            self.held_bytes -= dropped.nbytes

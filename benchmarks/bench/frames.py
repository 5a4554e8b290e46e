"""The frames that are measured on: generated ones, an image, or a folder of images."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError
from coke_edge.stream.images import list_images, read_image
from coke_edge.stream.pattern import PERIOD, SIZE, pattern

GENERATED = "generated"
DIFFERENT = 12  # generated frames, one after the other: more than what a cache holds of them

Image = NDArray[np.uint8]
Box = tuple[float, float, float, float]


class Frames(Protocol):
    """Frames by number; the same number is the same frame in every row."""

    description: str  # what they are, enough to have them again
    size: tuple[int, int]  # height, width of the first

    def read(self, index: int) -> Image:
        """Frame uint8 [H, W, 3] BGR: what "capture" times."""
        ...


class Generated:
    """A disc that moves over a gradient, drawn beforehand: capture is a copy, as from a camera's buffer."""

    def __init__(self, count: int = DIFFERENT) -> None:
        self._frames = [pattern(PERIOD // count * i, SIZE) for i in range(count)]
        self.size = (SIZE[1], SIZE[0])
        self.description = (
            f"generated: {count} frames of {SIZE[0]} × {SIZE[1]}, a disc that moves over a gradient; "
            "capture is a copy"
        )

    def read(self, index: int) -> Image:
        """See `Frames`."""
        frame: Image = self._frames[index % len(self._frames)]
        return np.array(frame)


class Pictures:
    """Image files in turn: capture reads and decodes one (its bytes are in the system's cache after the first time)."""

    def __init__(self, paths: list[Path], name: str) -> None:
        """Raises DataError unless every one of them can be read."""
        digest = hashlib.sha256()
        first: Image | None = None
        for path in paths:
            image = read_image(path)
            first = image if first is None else first
            digest.update(path.read_bytes())
        assert first is not None  # `list_images` gives one at least
        self._paths = paths
        self.size = (first.shape[0], first.shape[1])
        count = "image" if len(paths) == 1 else f"{len(paths)} images in turn"
        self.description = f"{count}: {name}, sha256 {digest.hexdigest()}; capture reads and decodes"

    def read(self, index: int) -> Image:
        """See `Frames`."""
        return read_image(self._paths[index % len(self._paths)])


def open_frames(source: str) -> Frames:
    """The frames of `generated`, an image file or a folder. Raises DataError if there are none."""
    if source == GENERATED:
        return Generated()
    path = Path(source)
    if not path.exists():
        raise DataError(f"there is no image or folder {source}; name one, or {GENERATED}")
    return Pictures(list_images(path) if path.is_dir() else [path], path.name)


REGIONS = "objects: boxes of half the frame's width and nine tenths of its height, side by side"


@lru_cache(maxsize=64)
def regions(height: int, width: int, count: int) -> list[Box]:
    """Boxes [count] in pixels of a frame, spread over its width: where the objects are said to be."""
    places = [0.25] if count == 1 else np.linspace(0.0, 0.5, count).tolist()
    return [(place * width, 0.05 * height, (place + 0.5) * width, 0.95 * height) for place in places]

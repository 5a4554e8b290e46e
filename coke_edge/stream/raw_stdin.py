"""Raw frames on standard input, as `ffmpeg -f rawvideo -` writes them."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from functools import partial

import numpy as np

from coke_edge.errors import StreamError
from coke_edge.stream.camera import Image, Shot
from coke_edge.stream.frame import Frame
from coke_edge.stream.pixels import to_bgr

# FFmpeg's names: dtype, and the channels of the input that become B, G, R (and alpha, which is dropped).
FORMATS: dict[str, tuple[str, tuple[int, ...]]] = {
    "bgr24": ("u1", (0, 1, 2)),
    "rgb24": ("u1", (2, 1, 0)),
    "bgra": ("u1", (0, 1, 2, 3)),
    "rgba": ("u1", (2, 1, 0, 3)),
    "gray": ("u1", (0,)),
    "gray16le": ("<u2", (0,)),
}
TICK = 0.1  # seconds between two looks at whether the source was stopped, while nothing comes


class RawReader:
    """Frames of one size and format from a file descriptor; each is waited for until it is whole."""

    def __init__(self, fd: int, size: tuple[int, int], pixels: str) -> None:
        """`size` is width, height; `pixels` one of FORMATS."""
        self._fd = fd
        self._size = size
        self._pixels = pixels
        dtype, channels = FORMATS[pixels]
        self._length = size[0] * size[1] * len(channels) * np.dtype(dtype).itemsize
        self._stopped = False

    def read(self) -> Shot | None:
        """Wait for the next frame; None at the end. Raises StreamError if the input ends within a frame."""
        data = bytearray(self._length)
        view, filled = memoryview(data), 0
        while filled < self._length:
            got = self._some(view[filled:])
            if got == 0:
                break
            filled += got
        if self._stopped or filled == 0:
            return None
        if filled < self._length:
            raise StreamError(
                f"standard input ended within a frame, after {filled} of its {self._length} bytes; "
                f"are they {self._size[0]}x{self._size[1]} pixels of {self._pixels}?"
            )
        return partial(to_image, data, self._size, self._pixels)

    def _some(self, view: memoryview) -> int:
        """How many bytes came; 0 at the end or when stopped."""
        while not self._stopped:
            if select.select([self._fd], [], [], TICK)[0]:
                try:
                    return os.readv(self._fd, [view])
                except OSError as error:
                    raise StreamError(f"cannot read standard input: {error.strerror}") from None
        return 0

    def interrupt(self) -> None:
        """End a waiting read within a tenth of a second."""
        self._stopped = True

    def close(self) -> None:
        """Standard input stays open."""


class StdinSource:
    """Every frame of standard input: whoever writes them waits until they were dealt with."""

    live = False
    length: int | None = None

    def __init__(self, reader: RawReader, frames_per_second: float | None) -> None:
        self.frames_per_second = frames_per_second
        self._reader = reader

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while (shot := self._reader.read()) is not None:
            image = shot()
            assert image is not None
            time = None if self.frames_per_second is None else index / self.frames_per_second
            yield Frame(index, image, f"stdin/{index:06d}", time)
            index += 1

    def stop(self) -> None:
        """End the frames, from any thread or a signal's handler."""
        self._reader.interrupt()


def to_image(data: bytearray, size: tuple[int, int], pixels: str) -> Image:
    """A frame's bytes as uint8 [H, W, 3] BGR."""
    dtype, channels = FORMATS[pixels]
    image = np.frombuffer(data, np.dtype(dtype)).reshape(size[1], size[0], len(channels))
    return to_bgr(image[..., channels])

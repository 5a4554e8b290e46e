"""One connection to something that sends pictures by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # [H, W, 3] BGR

# What a camera hands over: it decodes when it is called, so that dropped frames cost no decoding.
# None if the frame is damaged.
Shot = Callable[[], Image | None]


class Camera(Protocol):
    """Read and closed by one thread, the one that opened it."""

    def read(self) -> Shot | None:
        """Wait for the next frame; None if the stream has ended.

        Raises StreamError if the camera is gone, or silent for longer than its timeout.
        """
        ...

    def interrupt(self) -> None:
        """Make a waiting `read` return or raise soon, where that can be done. Any thread, at any time."""
        ...

    def close(self) -> None:
        """Give back what the connection holds; once."""
        ...


Connect = Callable[[], Camera]  # raises StreamError if the camera cannot be reached

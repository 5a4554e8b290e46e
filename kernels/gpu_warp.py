"""From a frame in host memory to crops on the GPU: one copy, one launch.

    frame uint8 [H, W, 3] BGR, affines [B, 2, 3] → page-locked memory → GPU → warp → crops

Crops are (pixel / 255 − mean) / std, [B, 3, h, w] RGB of fp16 or fp32, for a network that does not normalise; or the
pixels themselves, u8 [B, h, w, 3] BGR, for one that does. `stage` does the host's part; `enqueue` uses the same
addresses each time and depends on nothing but what `stage` returned: a CUDA graph serves all frames that stage alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .driver import Driver
from .launch import GRID, Kernels
from .targets import KernelError
from .variants import WARP_DTYPES, warp_name
from .workspace import Workspace

AFFINE_BYTES = 24  # of a float32 [2, 3]
ALIGNMENT = 256  # bytes; of the frame behind the affines


class Staged(NamedTuple):
    """What an upload and a launch depend on."""

    height: int  # of the frame, in pixels
    width: int
    crops: int


class GpuWarp:
    """Crops of one size out of frames of any size up to a number of pixels. Not for two streams at once."""

    def __init__(
        self,
        driver: Driver,
        kernels: Kernels,
        *,
        stream: int,  # the colours go up on it, and the constructor waits for it
        width: int,  # of a crop, in pixels
        height: int,
        border: Sequence[float],  # BGR, 0 … 255, fills crops outside the frame
        mean: Sequence[float] = (0, 0, 0),  # RGB, of pixels / 255; subtracted …
        std: Sequence[float] = (1, 1, 1),  # … before the division by this; neither concerns u8
        dtype: str = "fp16",  # of the crops, a name in variants.WARP_DTYPES
        crops: int = 1,  # the most of one frame
        frame_pixels: int = 1920 * 1080,  # of the largest frame
    ) -> None:
        """Raises KernelError if there is no kernel or no memory, or for what the kernel does not take."""
        if dtype not in WARP_DTYPES:
            raise KernelError(f"crops must be one of {', '.join(WARP_DTYPES)}, not {dtype}")
        if min(width, height, frame_pixels) < 1 or not 1 <= crops <= GRID[1]:
            raise KernelError(
                f"a warp needs pixels and 1 to {GRID[1]:,} crops, not {crops:,} crops of {width} × {height} from "
                f"frames of {frame_pixels:,}"
            )
        self._driver = driver
        self._kernel = kernels.kernel(warp_name(dtype))
        self._width, self._height, self._most, self._frame_pixels = width, height, crops, frame_pixels
        self._frame_at = -(-crops * AFFINE_BYTES // ALIGNMENT) * ALIGNMENT
        table = colours(border, mean, std)
        staging = self._frame_at + 3 * frame_pixels
        out = crops * 3 * height * width * WARP_DTYPES[dtype]
        self._host = driver.pinned(staging)
        self._memory = Workspace(driver, {"staging": staging, "colours": table.nbytes, "crops": out})
        try:
            driver.upload(self._memory["colours"], table, stream)
            driver.synchronize(stream)
        except KernelError:
            self.free()
            raise

    @property
    def crops(self) -> int:
        """The address of the crops, the same for every frame."""
        return self._memory["crops"]

    @property
    def memory(self) -> int:
        """Bytes on the GPU, all of them at any frame."""
        return self._memory.size

    def stage(self, frame: NDArray[np.uint8], affines: ArrayLike) -> Staged:
        """Put a frame [H, W, 3] of any strides and affines [B, 2, 3], crop to frame, where `enqueue` finds them.

        The stream must be past the upload of the frame before. Raises KernelError for a frame or affines that
        do not fit.
        """
        with np.errstate(over="ignore"):
            inverse = np.ascontiguousarray(affines, np.float32)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise KernelError(f"a frame must be uint8 [H, W, 3], not {frame.dtype} {list(frame.shape)}")
        height, width = frame.shape[:2]
        if height * width > self._frame_pixels:
            raise KernelError(
                f"a frame of {height} × {width} has more than the {self._frame_pixels:,} pixels that this warp has "
                "room for: make one with more frame_pixels"
            )
        if inverse.shape[1:] != (2, 3) or not 1 <= len(inverse) <= self._most:
            raise KernelError(
                f"affines must be [B, 2, 3] of 1 to {self._most} crops, not {list(inverse.shape)}"
            )
        if not np.isfinite(inverse).all():
            raise KernelError("an affine is not finite in float32")
        self._host[: inverse.nbytes] = inverse.reshape(-1).view(np.uint8)
        np.copyto(self._staged(frame.size).reshape(frame.shape), frame)
        return Staged(height, width, len(inverse))

    def enqueue(self, staged: Staged, stream: int) -> None:
        """Upload what was staged and warp it, on the stream; returns at once."""
        self.upload(staged, stream)
        self.warp(staged, stream)

    def upload(self, staged: Staged, stream: int) -> None:
        """The first half of `enqueue`: the frame and the affines go up."""
        end = self._frame_at + 3 * staged.height * staged.width
        self._driver.upload(self._memory["staging"], self._host[:end], stream)

    def warp(self, staged: Staged, stream: int) -> None:
        """The second half of `enqueue`: the crops out of the frame that is up."""
        height, width, crops = staged
        staging = self._memory["staging"]
        programs = -(-self._height * self._width // self._kernel.binary.constants["BLOCK"])
        self._kernel(
            (programs, crops, 1),
            stream,
            frame=staging + self._frame_at,
            affines=staging,
            colours=self._memory["colours"],
            crops=self.crops,
            height=height,
            width=width,
            pitch=3 * width,
            crop_height=self._height,
            crop_width=self._width,
        )

    def free(self) -> None:
        """Give the memory back; a second call does nothing."""
        self._memory.free()

    def _staged(self, size: int) -> NDArray[np.uint8]:
        """The bytes of the frame in page-locked memory."""
        return self._host[self._frame_at : self._frame_at + size]


def colours(border: Sequence[float], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """What the kernel is given [3, 3]: border (0 … 255), scale 1/(255·std) and shift −mean/std, columns in RGB order.

    Raises KernelError for other than three numbers each, a border that is no grey level or an std of 0.
    """
    given = [np.asarray(values, np.float64) for values in (border, mean, std)]
    fits = all(values.shape == (3,) and np.isfinite(values).all() for values in given)
    if not fits or given[0].min() < 0 or given[0].max() > 255 or given[2].min() <= 0:
        raise KernelError(
            f"border {border}, mean {mean} and std {std} must be three numbers each: a border of 0 to 255, std above 0"
        )
    return np.stack([given[0][::-1], 1 / (255 * given[2]), -given[1] / given[2]]).astype(np.float32)

"""How the crops come to be where the engine reads them: uint8 [B, height, width, 3] BGR on the GPU.

`stage` does the host's part and says what `steps` depend on: a CUDA graph recorded with one key serves every frame
that is staged under the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coke_edge.engine.steps import Step
from coke_edge.geometry import Affine, invert
from coke_edge.kernels.driver import Driver
from coke_edge.kernels.gpu_warp import GpuWarp, Staged
from coke_edge.kernels.launch import Kernels
from coke_edge.kernels.variants import warp_name
from coke_edge.manifest import InputSpec
from coke_edge.preprocess import crop

DTYPE = "u8"
WARP = warp_name(DTYPE)  # the kernel's variant
FULL_HD = 1920 * 1080  # pixels; room for such frames is made at once, for larger ones when the first comes


class Crops(Protocol):
    """Regions of a frame in, crops on the GPU out. Not for two streams at once."""

    name: str  # what makes the crops, for people
    staging: str  # the stage of `backends.Staged` that `stage` belongs to

    @property
    def address(self) -> int:
        """Of the crops, on the GPU."""
        ...

    def stage(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Hashable:
        """Put a frame and affines (frame to crop) where the steps find them.

        The stream must be past the frame before. The address may be another one afterwards.
        """
        ...

    def steps(self, key: Hashable) -> list[Step]:
        """What makes the crops of what was staged last, under this key."""
        ...

    def free(self) -> None:
        """Give the GPU's memory back; a second call does nothing."""
        ...


class KernelCrops:
    """The whole frame goes up and a kernel cuts the crops out of it."""

    staging = "upload"  # the way to page-locked memory

    def __init__(self, driver: Driver, kernels: Kernels, spec: InputSpec, most: int, stream: int) -> None:
        """Raises KernelError if there is no kernel or no memory."""
        self._driver, self._kernels, self._spec = driver, kernels, spec
        self._most, self._stream = most, stream
        self._generation = 0  # a new one has new addresses: what was recorded with the old ones must not run
        self._pixels = FULL_HD
        self._warp = self._make(self._pixels)
        self.name = f"kernel {kernels.find(WARP).name}"

    @property
    def address(self) -> int:
        """See `Crops`."""
        return self._warp.crops

    def stage(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Hashable:
        """See `Crops`."""
        pixels = frame.shape[0] * frame.shape[1]
        if pixels > self._pixels:
            self._warp.free()
            self._pixels, self._generation = 0, self._generation + 1  # none, should there not be the memory
            self._warp = self._make(pixels)
            self._pixels = pixels
        return self._generation, self._warp.stage(frame, [invert(affine) for affine in crops])

    def steps(self, key: Hashable) -> list[Step]:
        """See `Crops`."""
        assert isinstance(key, tuple)
        staged = Staged(*key[1])
        return [
            Step("upload", partial(self._warp.upload, staged)),
            Step("warp", partial(self._warp.warp, staged)),
        ]

    def free(self) -> None:
        """See `Crops`."""
        self._warp.free()

    def _make(self, pixels: int) -> GpuWarp:
        spec = self._spec
        return GpuWarp(
            self._driver,
            self._kernels,
            stream=self._stream,
            width=spec.width,
            height=spec.height,
            border=spec.border,
            mean=spec.mean,
            std=spec.std,
            dtype=DTYPE,
            crops=self._most,
            frame_pixels=pixels,
        )


class HostCrops:
    """OpenCV cuts the crops out on the CPU, and they go up."""

    name = "OpenCV on the CPU"
    staging = "warp"

    def __init__(self, driver: Driver, spec: InputSpec, most: int) -> None:
        """Raises KernelError if there is no memory."""
        self._driver, self._spec = driver, spec
        shape = (most, spec.height, spec.width, 3)
        self._host = driver.pinned(int(np.prod(shape))).reshape(shape)
        self._buffer = driver.allocate(self._host.nbytes)

    @property
    def address(self) -> int:
        """See `Crops`."""
        return self._buffer.address

    def stage(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Hashable:
        """See `Crops`."""
        for place, affine in zip(self._host, crops, strict=False):
            place[:] = crop(frame, affine, self._spec)
        return len(crops)

    def steps(self, key: Hashable) -> list[Step]:
        """See `Crops`."""
        assert isinstance(key, int)
        return [Step("upload", partial(self._driver.upload, self.address, self._host[:key]))]

    def free(self) -> None:
        """See `Crops`."""
        self._buffer.free()

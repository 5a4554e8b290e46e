"""The two banks of the head in GPU memory, in the dtype of the features that they meet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .driver import Driver
from .features import OFFSETS
from .reference import Float
from .targets import KernelError
from .variants import DTYPES
from .workspace import Workspace


class GpuBanks:
    """Prototypes [K, C] and clutter [N, C] of a dtype, and counts float32 [N], at addresses that stay."""

    def __init__(
        self,
        driver: Driver,
        dtype: str,  # a name in variants.DTYPES
        prototypes: Float,  # float32 [K, C], unit rows
        clutter: Float,  # float32 [N, C], unit rows; N may be 0
        counts: Float | None,  # [N], 1 each if None
        stream: int,
    ) -> None:
        """Uploads them on the stream and waits. Raises KernelError for banks that the kernels do not take."""
        self.keypoints, self.rows, self.channels = len(prototypes), len(clutter), prototypes.shape[-1]
        self._driver, self._dtype = driver, dtype
        self._check(prototypes, clutter, counts)
        row = self.channels * DTYPES[dtype]
        sizes = {"prototypes": self.keypoints * row, "clutter": self.rows * row, "counts": 4 * self.rows}
        self._memory = Workspace(driver, sizes)
        try:
            self.put(prototypes, clutter, counts, stream)
        except KernelError:
            self.free()
            raise

    def __getitem__(self, name: str) -> int:
        """The address of `prototypes`, `clutter` or `counts`; 0 for what is empty."""
        return self._memory[name]

    def put(self, prototypes: Float, clutter: Float, counts: Float | None, stream: int) -> None:
        """Put others of the same sizes in their place, on the stream, and wait. Raises KernelError otherwise."""
        self._check(prototypes, clutter, counts)
        weights = np.ones(self.rows, np.float32) if counts is None else counts
        stored = []
        for name, bank in (("prototypes", prototypes), ("clutter", clutter), ("counts", weights)):
            dtype = "fp32" if name == "counts" else self._dtype
            with np.errstate(over="ignore"):
                stored.append((self._memory[name], rounded(bank, dtype)))
            if not (np.isfinite(bank).all() and np.isfinite(stored[-1][1]).all()):
                raise KernelError(f"{name} hold values that are not finite in {dtype}")
        for address, elements in stored:
            if address:
                self._driver.upload(address, elements, stream)
        self._driver.synchronize(stream)

    def free(self) -> None:
        """Give the memory back; a second call does nothing."""
        self._memory.free()

    def _check(self, prototypes: Float, clutter: Float, counts: Float | None) -> None:
        shapes = prototypes.shape, clutter.shape, None if counts is None else counts.shape
        k, n, c = self.keypoints, self.rows, self.channels
        if shapes not in (((k, c), (n, c), None), ((k, c), (n, c), (n,))) or 0 in (k, c):
            raise KernelError(
                f"prototypes, clutter and counts must be [{k or 'K'}, {c or 'C'}], [{n}, {c or 'C'}] and [{n}], not "
                f"{', '.join(str(list(shape)) for shape in shapes if shape is not None)}: "
                "banks of another size need a new head"
            )
        if max(k, n) * c >= OFFSETS:
            raise KernelError(f"a bank has more than {OFFSETS:,} elements")


def rounded(values: Float, dtype: str) -> NDArray[Any]:
    """C-contiguous elements of a dtype, to the nearest and ties to even as torch rounds; bfloat16 as its bits."""
    if dtype != "bf16":
        return np.ascontiguousarray(values, {"fp16": np.float16, "fp32": np.float32}[dtype])
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)

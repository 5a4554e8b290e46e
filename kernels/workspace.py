"""Named pieces of device memory that come and go together."""

from __future__ import annotations

from collections.abc import Mapping

from .driver import Buffer, Driver
from .targets import KernelError


class Workspace:
    """One buffer for each name; a piece of no bytes has address 0."""

    def __init__(self, driver: Driver, sizes: Mapping[str, int]) -> None:
        """`sizes` are in bytes. Raises KernelError if the GPU has not the memory, and then keeps nothing."""
        self.size = sum(sizes.values())
        self._sizes = dict(sizes)
        self._buffers: dict[str, Buffer] = {}
        try:
            for name, size in sizes.items():
                if size:
                    self._buffers[name] = driver.allocate(size)
        except KernelError:
            self.free()
            raise

    def __getitem__(self, name: str) -> int:
        """The address of a piece. Raises KernelError once it was freed."""
        if self._sizes[name] == 0:
            return 0
        if name not in self._buffers:
            raise KernelError("its GPU memory was given back: make a new one")
        return self._buffers[name].address

    def free(self) -> None:
        """Give all of it back; a second call does nothing."""
        for buffer in self._buffers.values():
            buffer.free()
        self._buffers.clear()

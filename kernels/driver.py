"""What the launch of a kernel asks of the CUDA driver, and the two packages that can give it.

Memory, streams and graphs are plain numbers (addresses and handles), as TensorRT wants them. Everything that takes
a stream returns at once; nothing here waits but `synchronize`. A driver's module has `open_driver(device) -> Driver`.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from .targets import KernelError

DRIVERS = {
    "pycuda": "pycuda",
    "cuda-python": "cuda_python",
}  # name → module after `driver_`; the first is "auto"'s


@dataclasses.dataclass(frozen=True)
class Gpu:
    """What a launch has to know of a GPU."""

    name: str
    capability: int  # 87 is 8.7
    processors: int  # multiprocessors
    shared_memory: int  # bytes that a block may have, opting in
    memory: int  # bytes in all
    driver_version: int  # of CUDA: 12060 is 12.6


class Buffer(Protocol):
    """A piece of device memory."""

    address: int
    size: int  # bytes

    def free(self) -> None:
        """Give it back; a second call does nothing."""
        ...


class Graph(Protocol):
    """What a stream recorded, to be launched as one."""

    def launch(self, stream: int) -> None: ...

    def free(self) -> None: ...


class Event(Protocol):
    """A place in a stream, and when the GPU passed it. Given back with the object, or with its driver."""

    def record(self, stream: int) -> None:
        """Put it on a stream. In a capture it becomes part of the graph, and is passed at each launch of that."""
        ...

    def milliseconds_since(self, earlier: Event) -> float:
        """From an earlier event of the same driver to this one; waits for this one, which `earlier` precedes."""
        ...


class Timer(Protocol):
    """Two events around a piece of a stream."""

    def start(self, stream: int) -> None: ...

    def stop(self, stream: int) -> None: ...

    def milliseconds(self) -> float:
        """Between the two; waits for the second."""
        ...


class Driver(Protocol):
    """One GPU. Every method raises KernelError, saying what was tried and what CUDA answered."""

    name: str  # of the package, a key of DRIVERS
    gpu: Gpu

    def load(self, cubin: bytes, symbol: str, shared_memory: int) -> Any:
        """The function of a cubin, allowed that much dynamic shared memory, for `launch`."""
        ...

    def launch(
        self,
        function: Any,
        grid: tuple[int, int, int],
        block: int,
        shared_memory: int,
        stream: int,
        types: Sequence[str],  # as in artifact.Parameter; pointers and scratch slots are 8 bytes
        values: Sequence[int | float],
    ) -> None: ...

    def allocate(self, size: int) -> Buffer: ...

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """Page-locked host memory, uint8 [size]; freed with the array."""
        ...

    def upload(self, address: int, source: NDArray[Any], stream: int) -> None:
        """Host to device, C-contiguous; the source must stay until the stream is past it."""
        ...

    def download(self, target: NDArray[Any], address: int, stream: int) -> None:
        """Device to host, C-contiguous; there once the stream is synchronised."""
        ...

    def stream(self) -> int:
        """The handle of a new stream, which does not wait for the default one; freed with the driver."""
        ...

    def synchronize(self, stream: int) -> None: ...

    def capture(self, stream: int) -> AbstractContextManager[list[Graph]]:
        """Records what is asked of the stream in the block instead of running it; the list then holds the graph."""
        ...

    def event(self) -> Event: ...

    def timer(self) -> Timer: ...

    def free_memory(self) -> int:
        """Bytes of the GPU that nobody uses: of any process, and on a Jetson of the CPU too."""
        ...

    def close(self) -> None:
        """Give everything back; a second call does nothing."""
        ...


def open_driver(name: str = "auto", device: int = 0) -> Driver:
    """The driver package called `name` with a GPU; "auto" takes the first that is installed.

    Raises KernelError if there is no such package, none is installed, or there is no such GPU.
    """
    if name != "auto" and name not in DRIVERS:
        raise KernelError(f"there is no driver package {name!r}; choose from auto, {', '.join(DRIVERS)}")
    missing = []
    for package, module in DRIVERS.items():
        if name in ("auto", package):
            try:
                found = importlib.import_module(f".driver_{module}", __package__)
            except ImportError as error:
                missing.append(f"{package} ({error})")
            else:
                return cast(Driver, found.open_driver(device))
    raise KernelError(f"cannot import {' nor '.join(missing)}: pip install 'coke-edge[gpu]' brings both")

"""The fake driver as Python sees it: what GPU it pretends, what it should refuse, what was asked of it.

A launch runs when somebody waits for its stream. It calls the kernel that was given for its cubin, in Python, with
the arguments that came through the driver as raw bytes; an exception there fails the launch and is kept.
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = (
    "contexts",
    "allocations",
    "pinned",
    "streams",
    "events",
    "modules",
    "functions",
    "graphs",
    "graph_execs",
)
GARBAGE = 0xCD  # every byte of fresh memory
LAUNCH_MS, COPY_MS = 1.0, 0.1  # what a launch, a copy or a fill takes, as events tell
LAUNCH_FAILED = 719
ILLEGAL_ADDRESS = 700
CODES = {
    "INVALID_VALUE": 1,
    "OUT_OF_MEMORY": 2,
    "NO_DEVICE": 100,
    "INVALID_IMAGE": 200,
    "ILLEGAL_ADDRESS": ILLEGAL_ADDRESS,
    "LAUNCH_FAILED": LAUNCH_FAILED,
    "UNKNOWN": 999,
}  # those that a test may ask for, without CUDA_ERROR_

HOOK = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,  # cubin
    ctypes.c_size_t,
    ctypes.c_char_p,  # symbol
    ctypes.POINTER(ctypes.c_uint),  # grid
    ctypes.POINTER(ctypes.c_uint),  # block
    ctypes.c_uint,  # dynamic shared memory, bytes
    ctypes.c_size_t,  # stream
    ctypes.c_void_p,  # parameters
    ctypes.POINTER(ctypes.c_uint),  # their offsets
    ctypes.POINTER(ctypes.c_uint),  # and sizes, bytes
    ctypes.c_uint,  # how many
)


class Settings(ctypes.Structure):
    """As in state.h."""

    _fields_ = (
        *(
            (name, ctypes.c_int)
            for name in ("enabled", "devices", "capability", "processors", "shared_memory", "driver")
        ),
        ("memory", ctypes.c_size_t),
        ("name", ctypes.c_char * 256),
    )


@dataclasses.dataclass(frozen=True)
class Launch:
    """A kernel that ran."""

    symbol: str
    cubin: str  # sha256
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared_memory: int
    stream: int
    parameters: tuple[bytes, ...]  # raw, as many as the cubin says


Kernel = Callable[["FakeCuda", Launch], None]


class Fault(Exception):  # noqa: N818
    """A kernel touched memory that is not its own."""


class FakeCuda:
    """The library; one of it in a process. `reset` is also the way to change the GPU in the middle of a test."""

    def __init__(self, path: Path) -> None:
        # RTLD_GLOBAL and the soname: whoever asks for libcuda.so.1 from now on gets this one.
        self.library: Any = ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
        self.library.fake_bytes.restype = ctypes.c_void_p
        self.library.fake_bytes.argtypes = ctypes.c_uint64, ctypes.c_size_t
        self.hook = HOOK(self._launch)  # as long as the library may call it
        self.library.fake_hook(self.hook)
        self.kernels: dict[str, Kernel] = {}  # sha256 of a cubin → what it does
        self.launches: list[Launch] = []
        self.errors: list[Exception] = []  # of kernels

    def reset(
        self,
        devices: int = 1,
        name: str = "Fake Orin",
        capability: int = 87,
        processors: int = 14,
        shared_memory: int = 163 * 1024,  # bytes that a block may have, opting in
        memory: int = 8 << 30,
        driver: int = 13000,
    ) -> None:
        """Forget everything and pretend these GPUs."""
        wanted = Settings(1, devices, capability, processors, shared_memory, driver, memory, name.encode())
        self.library.fake_reset(ctypes.byref(wanted))
        self._forget()

    def disable(self) -> None:
        """Forget everything and say that there is no GPU."""
        self.library.fake_reset(None)
        self._forget()

    def _forget(self) -> None:
        self.kernels.clear()
        self.launches.clear()
        self.errors.clear()

    def fail(self, function: str, error: str, after: int = 0) -> None:
        """Let the call of a driver function, such as cuMemAlloc, fail once, when `after` more have gone well."""
        assert self.library.fake_fail(function.encode(), after, CODES[error]), "too many failures are waiting"

    def alive(self) -> dict[str, int]:
        """What has not been given back, by kind; only kinds of which there is something."""
        return self._counts()[0]

    def leaked(self) -> dict[str, int]:
        """What went with its context because nobody had given it back before."""
        return self._counts()[1]

    def _counts(self) -> tuple[dict[str, int], dict[str, int]]:
        alive, leaked = ((ctypes.c_longlong * len(KINDS))() for _ in range(2))
        self.library.fake_alive(alive, leaked)
        first, second = (
            {k: n for k, n in zip(KINDS, counts, strict=True) if n} for counts in (alive, leaked)
        )
        return first, second

    def depth(self) -> int:
        """How many contexts are on this thread's stack."""
        return int(self.library.fake_depth())

    def memory(self, address: int, size: int) -> NDArray[np.uint8]:
        """A piece of device memory, to be read and written. Raises Fault if it is not inside one allocation."""
        place = self.library.fake_bytes(address, size)
        if not place:
            raise Fault(f"{size} bytes at {address:#x} are not inside one allocation")
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(place))

    def array(self, address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Device memory as an array."""
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if size == 0:
            return np.empty(shape, dtype)
        return self.memory(address, size).view(dtype).reshape(shape)

    def kernel(self, cubin: bytes | str, does: Kernel) -> None:
        """What a cubin (or its sha256) does when it is launched; one that nobody gave fails."""
        self.kernels[cubin if isinstance(cubin, str) else hashlib.sha256(cubin).hexdigest()] = does

    def _launch(
        self, image: int, image_size: int, symbol: bytes, grid: Any, block: Any, shared: int, stream: int,
        parameters: int, offsets: Any, sizes: Any, count: int,
    ) -> int:  # fmt: skip
        """What the library calls: 0, or a CUresult."""
        try:
            cubin = hashlib.sha256(ctypes.string_at(image, image_size)).hexdigest()
            values = tuple(ctypes.string_at(parameters + offsets[i], sizes[i]) for i in range(count))
            launch = Launch(
                symbol.decode(), cubin, tuple(grid[:3]), tuple(block[:3]), shared, stream or 0, values
            )
            self.launches.append(launch)
            if cubin not in self.kernels:
                raise LookupError(f"no one said what the cubin of {launch.symbol} does: call kernel()")
            self.kernels[cubin](self, launch)
        except Exception as error:  # it cannot pass through C
            self.errors.append(error)
            return ILLEGAL_ADDRESS if isinstance(error, Fault) else LAUNCH_FAILED
        return 0

"""What the drivers share: how CUDA's errors read, what is owned and given back, arguments as the bytes of a launch."""

from __future__ import annotations

import functools
import struct
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .targets import KernelError

if TYPE_CHECKING:
    from .driver import Event

FORMATS = {"i32": "i", "i64": "q", "fp32": "f"}  # of struct; everything else is an address
POINTER = "Q"

NO_DRIVER = "no NVIDIA driver ({}): install it, or take a machine with an NVIDIA GPU"
NO_GPU = "the NVIDIA driver finds no GPU: see what nvidia-smi says, or take a machine with one"
RECORDING = "in a capture nothing is allocated or waited for, and what is copied is pinned"
ADVICE = {  # by CUDA's name; the rest of the errors speak for themselves
    "CUDA_ERROR_OUT_OF_MEMORY": "close what else uses the GPU, or take a smaller batch",
    "CUDA_ERROR_NO_BINARY_FOR_GPU": "it was compiled for another GPU, build the kernels for this one",
    "CUDA_ERROR_INVALID_IMAGE": "the file is damaged, or the driver is too old for it: build the kernels again",
    "CUDA_ERROR_NOT_FOUND": "the file is not what it says it is: build the kernels again",
    "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED": RECORDING,
    "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED": RECORDING,
}
BROKEN = {  # after these nothing works on the GPU until the process ends
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_LAUNCH_FAILED",
    "CUDA_ERROR_LAUNCH_TIMEOUT",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    "CUDA_ERROR_MISALIGNED_ADDRESS",
    "CUDA_ERROR_HARDWARE_STACK_ERROR",
    "CUDA_ERROR_ASSERT",
    "CUDA_ERROR_ECC_UNCORRECTABLE",
}


def failure(tried: str, name: str) -> KernelError:
    """The error for something that was tried and answered with a CUresult of that name."""
    if name in BROKEN:
        advice = "a kernel failed, here or before; the GPU is lost to this process, start it again"
    else:
        advice = ADVICE.get(name, "")
    return KernelError(f"cannot {tried}: {name}" + (f" ({advice})" if advice else ""))


def no_such_gpu(device: int, count: int) -> KernelError:
    """The error for the number of a GPU that is not there."""
    there = "0 alone" if count == 1 else f"0 to {count - 1}"
    return KernelError(f"there is no GPU {device}, only {there}: give the number of one of them")


def check_array(array: NDArray[Any], written: bool) -> None:
    """Raise KernelError unless the driver can copy the array as it lies in memory."""
    if not array.flags.c_contiguous or (written and not array.flags.writeable):
        needs = "C-contiguous and writeable" if written else "C-contiguous"
        raise KernelError(
            f"an array {array.shape} with strides {array.strides} cannot be copied: it must be {needs}"
        )


def check_shared(symbol: str, wanted: int, most: int, gpu: str) -> None:
    """Raise KernelError if a kernel wants more shared memory than a block may have."""
    if wanted > most:
        raise KernelError(f"{symbol} needs {wanted:,} bytes of shared memory, {gpu} gives a block {most:,}")


@functools.cache
def layout(types: tuple[str, ...]) -> tuple[struct.Struct, tuple[int, ...]]:
    """How arguments lie, each aligned to its size, and where each begins. Raises KernelError for an unknown type."""
    form, offsets, end = "<", [], 0
    for kind in types:
        if kind not in FORMATS and not kind.startswith("*"):
            raise KernelError(f"a kernel takes pointers (*…), {', '.join(FORMATS)}, not {kind}")
        letter = FORMATS.get(kind, POINTER)
        size = struct.calcsize("<" + letter)
        gap = -end % size
        form += "x" * gap + letter
        offsets.append(end + gap)
        end += gap + size
    return struct.Struct(form), tuple(offsets)


def pack(symbol: str, types: Sequence[str], values: Sequence[int | float]) -> tuple[bytes, tuple[int, ...]]:
    """The arguments of a launch as CUDA lays them out, and where each begins.

    Raises KernelError unless there is one value that fits for every type.
    """
    form, offsets = layout(tuple(types))
    if len(types) != len(values):
        raise KernelError(f"{symbol} takes {len(types)} arguments, not {len(values)}")
    try:
        return form.pack(*values), offsets
    except (struct.error, OverflowError, TypeError):
        wrong = next(i for i, kind in enumerate(types) if not fits(FORMATS.get(kind, POINTER), values[i]))
        raise KernelError(
            f"argument {wrong} of {symbol} cannot be {values[wrong]!r}: it is {types[wrong]}"
        ) from None


def fits(letter: str, value: int | float) -> bool:
    """Whether struct takes a value for a letter of its format."""
    try:
        struct.pack("<" + letter, value)
    except (struct.error, OverflowError, TypeError):
        return False
    return True


class Owned:
    """What a driver has to give back, in reverse order of its coming; each piece once, from any thread."""

    def __init__(self) -> None:
        self._pieces: dict[object, Callable[[], None]] = {}
        self._lock = threading.Lock()

    def add(self, free: Callable[[], None]) -> Callable[[], None]:
        """The function that gives a piece back; it does nothing the second time."""
        key = object()
        self._pieces[key] = free

        def give_back() -> None:
            with self._lock:
                found = self._pieces.pop(key, None)
            if found is not None:
                found()

        return give_back

    def clear(self) -> None:
        """Give everything back. After a failed kernel the driver refuses that too: it has taken it already."""
        while True:
            with self._lock:
                if not self._pieces:
                    return
                _, free = self._pieces.popitem()
            with suppress(KernelError):
                free()


class DeviceBuffer:
    """A piece of device memory."""

    def __init__(self, address: int, size: int, free: Callable[[], None]) -> None:
        self.address = address
        self.size = size
        self.free = free


class LaunchableGraph:
    """What a stream recorded."""

    def __init__(self, launch: Callable[[int], None], free: Callable[[], None]) -> None:
        self.launch = launch
        self.free = free


class StreamEvent:
    """A place in a stream. Given back with the object, or with its driver."""

    def __init__(
        self,
        handle: Any,
        record: Callable[[int], None],
        elapsed: Callable[[Any], float],  # since the event of that handle, in milliseconds
        free: Callable[[], None],
    ) -> None:
        self.handle = handle
        self.record = record
        self._elapsed = elapsed
        weakref.finalize(self, suppressed(free))

    def milliseconds_since(self, earlier: Any) -> float:
        return self._elapsed(earlier.handle)


class EventTimer:
    """Two events around a piece of a stream."""

    def __init__(self, first: Event, last: Event) -> None:
        self._first, self._last = first, last
        self.start = first.record
        self.stop = last.record

    def milliseconds(self) -> float:
        return self._last.milliseconds_since(self._first)


class PinnedMemory:
    """Page-locked host memory as numpy takes it; given back when the last array of it has gone."""

    def __init__(self, address: int, size: int, free: Callable[[], None]) -> None:
        self.__array_interface__ = {
            "data": (address, False),
            "shape": (size,),
            "typestr": "|u1",
            "version": 3,
        }
        weakref.finalize(self, suppressed(free))

    def array(self) -> NDArray[np.uint8]:
        return np.asarray(self)


def suppressed(free: Callable[[], None]) -> Callable[[], None]:
    """For finalizers, which have nobody to tell."""

    def quiet() -> None:
        with suppress(KernelError):
            free()

    return quiet

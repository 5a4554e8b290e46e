"""What the fake TensorRT asks of CUDA, through the driver API as the real one's library would."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cuda.bindings import driver as cuda

SUCCESS = cuda.CUresult.CUDA_SUCCESS
SYMBOL = "fake_engine"
CAPTURING = cuda.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_ACTIVE


def gpu_name() -> str:
    """The GPU's name; empty if there is none."""
    if cuda.cuInit(0)[0] != SUCCESS:
        return ""
    status, name = cuda.cuDeviceGetName(256, 0)
    return name.split(b"\0")[0].decode() if status == SUCCESS else ""


def capability() -> int:
    """Of the first GPU: 87 is 8.7."""
    names = cuda.CUdevice_attribute
    major = names.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    minor = names.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR
    return int(10 * cuda.cuDeviceGetAttribute(major, 0)[1] + cuda.cuDeviceGetAttribute(minor, 0)[1])


@contextmanager
def current() -> Iterator[None]:
    """The primary context of the first GPU, as the CUDA runtime takes it."""
    status, context = cuda.cuDevicePrimaryCtxRetain(0)
    assert status == SUCCESS, status
    cuda.cuCtxPushCurrent(context)
    try:
        yield
    finally:
        cuda.cuCtxPopCurrent()
        cuda.cuDevicePrimaryCtxRelease(0)


class Work:
    """A kernel that runs Python functions, each known by a number, in the order of its stream."""

    def __init__(self, fake_cuda: Any) -> None:
        from fake_cuda import cubins

        self._functions: dict[int, Callable[[], None]] = {}
        self._numbers = itertools.count(1)
        here = capability()
        image = cubins.cubin(SYMBOL, ["i64"], block=32, capability=here, abi=7 if here < 90 else 8)
        fake_cuda.kernel(image, self._run)
        status, self._context = cuda.cuDevicePrimaryCtxRetain(0)  # as long as the module is loaded
        assert status == SUCCESS, status
        with current():
            status, self._module = cuda.cuModuleLoadData(image)
            assert status == SUCCESS, status
            _, self._kernel = cuda.cuModuleGetFunction(self._module, SYMBOL.encode())

    def enqueue(self, function: Callable[[], None], stream: int) -> bool:
        """Put a function on a stream, or into the graph that it records."""
        number = next(self._numbers)
        self._functions[number] = function
        value = ctypes.c_int64(number)
        places = (ctypes.c_void_p * 1)(ctypes.addressof(value))
        with current():
            (status,) = cuda.cuLaunchKernel(
                self._kernel, 1, 1, 1, 32, 1, 1, 0, stream, ctypes.addressof(places), 0
            )
        return bool(status == SUCCESS)

    def free(self) -> None:
        """Unload the kernel."""
        if self._module is not None and gpu_name():
            with current():
                cuda.cuModuleUnload(self._module)
            self._module = None
            cuda.cuDevicePrimaryCtxRelease(0)

    def _run(self, fake: Any, launch: Any) -> None:
        self._functions[int.from_bytes(launch.parameters[0], "little")]()


def recording(stream: int) -> bool:
    """Whether a stream is being captured."""
    with current():
        _, status = cuda.cuStreamIsCapturing(stream)
    return bool(status == CAPTURING)

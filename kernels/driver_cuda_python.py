"""The driver over cuda-python (`cuda.bindings.driver`), NVIDIA's own binding: flat functions, every status checked."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
from cuda import bindings
from cuda.bindings import driver as cuda
from numpy.typing import NDArray

from . import driver_base as base
from .driver import Buffer, Event, Gpu, Graph, Timer
from .targets import KernelError

ATTRIBUTE = cuda.CUdevice_attribute
NON_BLOCKING = cuda.CUstream_flags.CU_STREAM_NON_BLOCKING
THIS_THREAD = (
    cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
)  # others may allocate beside a capture
EXTERNAL = (
    cuda.CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL
)  # a node of the graph; allowed in a capture alone
DYNAMIC_SHARED_MEMORY = cuda.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES


class Function(NamedTuple):
    """An entry of a loaded cubin."""

    handle: Any
    symbol: str


def check(tried: str, answer: tuple[Any, ...]) -> Any:
    """The first of what a call gave beside its status. Raises KernelError unless that is success."""
    status, *rest = answer
    if status != cuda.CUresult.CUDA_SUCCESS:
        name = status.name if isinstance(status, cuda.CUresult) else f"error {status}"
        raise base.failure(tried, name)
    return rest[0] if rest else None


def open_driver(device: int = 0) -> CudaPython:
    """The driver with GPU `device`. Raises KernelError if there is no driver or no such GPU."""
    try:
        (status,) = cuda.cuInit(0)
    except RuntimeError as error:  # libcuda.so.1 cannot be loaded
        raise KernelError(base.NO_DRIVER.format(error)) from error
    if status == cuda.CUresult.CUDA_ERROR_NO_DEVICE:
        raise KernelError(base.NO_GPU)
    check("start the NVIDIA driver", (status,))
    count = check("count the GPUs", cuda.cuDeviceGetCount())
    if not 0 <= device < count:
        raise base.no_such_gpu(device, count)
    return CudaPython(device)


def describe(device: int) -> Gpu:
    """What a launch has to know of a GPU."""

    def attribute(name: Any) -> int:
        return int(check("ask what the GPU is", cuda.cuDeviceGetAttribute(name, device)))

    name = check("ask for the GPU's name", cuda.cuDeviceGetName(256, device))
    major = attribute(ATTRIBUTE.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
    minor = attribute(ATTRIBUTE.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)
    return Gpu(
        name=name.split(b"\0")[0].decode(errors="replace").strip(),
        capability=10 * major + minor,
        processors=attribute(ATTRIBUTE.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
        shared_memory=attribute(ATTRIBUTE.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
        memory=int(check("ask for the GPU's memory", cuda.cuDeviceTotalMem(device))),
        driver_version=int(check("ask for the driver's version", cuda.cuDriverGetVersion())),
    )


@contextmanager
def context_of(device: int) -> Iterator[None]:
    """The GPU's primary context, kept for the length of a block and current in it."""
    context = check(f"open GPU {device}", cuda.cuDevicePrimaryCtxRetain(device))
    try:
        check("make the GPU current", cuda.cuCtxPushCurrent(context))
        try:
            yield
        finally:
            cuda.cuCtxPopCurrent()
    finally:
        cuda.cuDevicePrimaryCtxRelease(device)


class CudaPython:
    """One GPU, in its primary context, which torch and TensorRT use too. Any thread may call it."""

    name = "cuda-python"

    def __init__(self, device: int) -> None:
        self.gpu = describe(device)
        self._device = device
        self._owned = base.Owned()
        self._streams: set[int] = set()
        self._capturing: set[int] = set()
        self._context = check(f"open GPU {device}", cuda.cuDevicePrimaryCtxRetain(device))

    @contextmanager
    def _current(self) -> Iterator[None]:
        if self._context is None:
            raise KernelError("this driver has been closed: open another")
        check("make the GPU current", cuda.cuCtxPushCurrent(self._context))
        try:
            yield
        except RuntimeError as error:  # the binding found no such function in the driver
            raise KernelError(
                f"cuda-bindings {bindings.__version__} is too new for the driver ({error}): install that of its CUDA "
                f"version, {self.gpu.driver_version // 1000}.{self.gpu.driver_version % 1000 // 10}, or take pycuda"
            ) from error
        finally:
            cuda.cuCtxPopCurrent()

    def _known(self, stream: int) -> int:
        if stream not in self._streams:
            raise KernelError(f"{stream:#x} is no stream of this driver: take one from stream()")
        return stream

    def load(self, cubin: bytes, symbol: str, shared_memory: int) -> Function:
        base.check_shared(symbol, shared_memory, self.gpu.shared_memory, self.gpu.name)
        with self._current():
            module = check(f"load the kernel {symbol} on {self.gpu.name}", cuda.cuModuleLoadData(cubin))
            self._own("unload a kernel", cuda.cuModuleUnload, module)
            found = check(
                f"find the kernel {symbol} in its cubin", cuda.cuModuleGetFunction(module, symbol.encode())
            )
            check(
                f"give {symbol} {shared_memory:,} bytes of shared memory",
                cuda.cuFuncSetAttribute(found, DYNAMIC_SHARED_MEMORY, shared_memory),
            )
        return Function(found, symbol)

    def _own(self, tried: str, function: Any, handle: Any) -> Any:
        def free() -> None:
            with self._current():
                check(tried, function(handle))

        return self._owned.add(free)

    def launch(
        self,
        function: Function,
        grid: tuple[int, int, int],
        block: int,
        shared_memory: int,
        stream: int,
        types: Sequence[str],
        values: Sequence[int | float],
    ) -> None:
        packed, offsets = base.pack(function.symbol, types, values)
        held = ctypes.create_string_buffer(packed)
        places = (ctypes.c_void_p * len(offsets))(*(ctypes.addressof(held) + offset for offset in offsets))
        with self._current():
            check(
                f"launch {function.symbol}",
                cuda.cuLaunchKernel(
                    function.handle,
                    *grid,
                    block,
                    1,
                    1,
                    shared_memory,
                    self._known(stream),
                    ctypes.addressof(places),
                    0,
                ),
            )

    def allocate(self, size: int) -> Buffer:
        with self._current():
            address = check(f"allocate {size:,} bytes on the GPU", cuda.cuMemAlloc(max(size, 1)))
        return base.DeviceBuffer(
            int(address), size, self._own("free memory of the GPU", cuda.cuMemFree, address)
        )

    def pinned(self, size: int) -> NDArray[np.uint8]:
        with self._current():
            address = int(check(f"pin {size:,} bytes", cuda.cuMemHostAlloc(max(size, 1), 0)))
            device = self._device
            # An array may outlive the driver: the context stays as long as it does.
            check("keep the GPU open", cuda.cuDevicePrimaryCtxRetain(device))

        def free() -> None:
            with context_of(device):
                cuda.cuMemFreeHost(address)
            cuda.cuDevicePrimaryCtxRelease(device)

        return base.PinnedMemory(address, size, free).array()

    def upload(self, address: int, source: NDArray[Any], stream: int) -> None:
        base.check_array(source, written=False)
        with self._current():
            self._known(stream)
            if source.nbytes:
                answer = cuda.cuMemcpyHtoDAsync(address, source.ctypes.data, source.nbytes, stream)
                check(f"copy {source.nbytes:,} bytes to the GPU", answer)

    def download(self, target: NDArray[Any], address: int, stream: int) -> None:
        base.check_array(target, written=True)
        with self._current():
            self._known(stream)
            if target.nbytes:
                answer = cuda.cuMemcpyDtoHAsync(target.ctypes.data, address, target.nbytes, stream)
                check(f"copy {target.nbytes:,} bytes from the GPU", answer)

    def stream(self) -> int:
        with self._current():
            handle = int(check("make a stream", cuda.cuStreamCreate(NON_BLOCKING)))
        self._own("give a stream back", cuda.cuStreamDestroy, handle)
        self._streams.add(handle)
        return handle

    def synchronize(self, stream: int) -> None:
        with self._current():
            check("wait for the GPU", cuda.cuStreamSynchronize(self._known(stream)))

    @contextmanager
    def capture(self, stream: int) -> Iterator[list[Graph]]:
        graphs: list[Graph] = []
        with self._current():
            check("record a stream", cuda.cuStreamBeginCapture(self._known(stream), THIS_THREAD))
        self._capturing.add(stream)
        try:
            yield graphs
        except BaseException:
            with suppress(KernelError), self._current():
                cuda.cuGraphDestroy(self._end_capture(stream))
            raise
        finally:
            self._capturing.discard(stream)
        graphs.append(self._instantiate(self._end_capture(stream)))

    def _end_capture(self, stream: int) -> Any:
        with self._current():
            return check("record a stream", cuda.cuStreamEndCapture(stream))

    def _instantiate(self, recorded: Any) -> Graph:
        with self._current():
            answer = cuda.cuGraphInstantiate(recorded, 0)
            cuda.cuGraphDestroy(recorded)
        graph = check("make a graph of what was recorded", answer)

        def launch(stream: int) -> None:
            with self._current():
                check("launch a graph", cuda.cuGraphLaunch(graph, self._known(stream)))

        return base.LaunchableGraph(launch, self._own("give a graph back", cuda.cuGraphExecDestroy, graph))

    def event(self) -> Event:
        with self._current():
            handle = check("make an event", cuda.cuEventCreate(0))

        def record(stream: int) -> None:
            flags = EXTERNAL if stream in self._capturing else 0
            with self._current():
                check("record an event", cuda.cuEventRecordWithFlags(handle, self._known(stream), flags))

        def elapsed(earlier: Any) -> float:
            with self._current():
                check("wait for an event", cuda.cuEventSynchronize(handle))
                return float(check("read two events", cuda.cuEventElapsedTime(earlier, handle)))

        free = self._own("give an event back", cuda.cuEventDestroy, handle)
        return base.StreamEvent(handle, record, elapsed, free)

    def timer(self) -> Timer:
        return base.EventTimer(self.event(), self.event())

    def free_memory(self) -> int:
        with self._current():
            return int(check("ask for the GPU's memory", cuda.cuMemGetInfo()))

    def close(self) -> None:
        if self._context is None:
            return
        self._owned.clear()
        self._streams.clear()
        self._context = None
        cuda.cuDevicePrimaryCtxRelease(
            self._device
        )  # after a failed kernel it fails too, and nothing is left to do

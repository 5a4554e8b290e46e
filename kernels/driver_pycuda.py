"""The driver over pycuda. It knows neither stream capture nor graphs nor their events: libcuda itself is asked.

pycuda keeps a stack of contexts for every thread, and frees an object only where its context is on top. So every
call puts the GPU's context there and takes it away again, and objects are dropped inside such a call.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import driver_base as base
from . import libcuda
from .driver import Buffer, Event, Gpu, Graph, Timer
from .targets import KernelError

try:
    import pycuda.driver as cuda
except ImportError as error:
    if libcuda.LIBRARY not in str(error):
        raise
    raise KernelError(base.NO_DRIVER.format(error)) from error

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
NO_DEVICE = "CUDA_ERROR_NO_DEVICE"


class Function:
    """An entry of a loaded cubin; empty once its driver is closed."""

    def __init__(self, symbol: str, module: Any, entry: Any) -> None:
        self.symbol = symbol
        self.module = module
        self.entry = entry
        self.types: tuple[str, ...] | None = None  # that the entry is prepared for

    def drop(self) -> None:
        self.entry = self.module = None


@contextmanager
def trying(what: str) -> Iterator[None]:
    """pycuda's errors as KernelError."""
    try:
        yield
    except cuda.Error as error:
        raise base.failure(what, error_name(error)) from error


def error_name(error: Exception) -> str:
    """CUDA's name of an error that pycuda has put into words: "cuMemAlloc failed: out of memory"."""
    found = re.match(r"\w+ failed: (.*?)(?: - .*)?$", str(error), re.DOTALL)
    words = found.group(1) if found else str(error)
    return libcuda.error_names().get(words, words)


def open_driver(device: int = 0) -> PyCuda:
    """The driver with GPU `device`. Raises KernelError if there is no driver or no such GPU."""
    try:
        cuda.init()
    except cuda.Error as error:
        if error_name(error) == NO_DEVICE:
            raise KernelError(base.NO_GPU) from error
        raise base.failure("start the NVIDIA driver", error_name(error)) from error
    with trying("count the GPUs"):
        count = cuda.Device.count()
    if not 0 <= device < count:
        raise base.no_such_gpu(device, count)
    return PyCuda(device)


def describe(device: Any) -> Gpu:
    """What a launch has to know of a GPU."""
    attribute = cuda.device_attribute
    with trying("ask what the GPU is"):
        major, minor = device.compute_capability()
        return Gpu(
            name=device.name().strip(),
            capability=10 * major + minor,
            processors=device.get_attribute(attribute.MULTIPROCESSOR_COUNT),
            shared_memory=device.get_attribute(attribute.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
            memory=device.total_memory(),
            driver_version=cuda.get_driver_version(),
        )


@contextmanager
def context_of(device: int) -> Iterator[int]:
    """The GPU's primary context, kept for the length of a block and current in it, without pycuda's knowing."""
    context = libcuda.ask(f"open GPU {device}", "cuDevicePrimaryCtxRetain", device)
    try:
        libcuda.call("make the GPU current", "cuCtxPushCurrent_v2", context)
        try:
            yield context
        finally:
            libcuda.library().cuCtxPopCurrent_v2(None)
    finally:
        libcuda.library().cuDevicePrimaryCtxRelease_v2(device)


class PyCuda:
    """One GPU, in its primary context, which torch and TensorRT use too. Any thread may call it."""

    name = "pycuda"

    def __init__(self, device: int) -> None:
        libcuda.library()
        self._device = device
        self._owned = base.Owned()
        self._streams: dict[int, Any] = {}
        self._capturing: set[int] = set()
        with trying(f"open GPU {device}"):
            self.gpu = describe(cuda.Device(device))
            self._context: Any = cuda.Device(device).retain_primary_context()

    @contextmanager
    def _current(self, tried: str) -> Iterator[None]:
        if self._context is None:
            raise KernelError("this driver has been closed: open another")
        with trying(tried):
            self._context.push()
            try:
                yield
            finally:
                cuda.Context.pop()

    def _known(self, stream: int) -> Any:
        if stream not in self._streams:
            raise KernelError(f"{stream:#x} is no stream of this driver: take one from stream()")
        return self._streams[stream]

    def _own(self, tried: str, drop: Callable[[], object]) -> Callable[[], None]:
        def free() -> None:
            with self._current(tried):
                drop()

        return self._owned.add(free)

    def load(self, cubin: bytes, symbol: str, shared_memory: int) -> Function:
        base.check_shared(symbol, shared_memory, self.gpu.shared_memory, self.gpu.name)
        with self._current(f"load the kernel {symbol} on {self.gpu.name}"):
            module = cuda.module_from_buffer(cubin)
            with trying(f"find the kernel {symbol} in its cubin"):
                entry = module.get_function(symbol)
            with trying(f"give {symbol} {shared_memory:,} bytes of shared memory"):
                entry.set_attribute(cuda.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_memory)
            function = Function(symbol, module, entry)
            self._own("unload a kernel", function.drop)
            return function

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
        arguments, _ = base.pack(function.symbol, types, values)
        with self._current(f"launch {function.symbol}"):
            # What prepared_async_call does after packing the arguments itself.
            function.entry._launch_kernel(grid, (block, 1, 1), arguments, shared_memory, self._known(stream))

    def allocate(self, size: int) -> Buffer:
        with self._current(f"allocate {size:,} bytes on the GPU"):
            memory = cuda.mem_alloc(max(size, 1))
        return base.DeviceBuffer(int(memory), size, self._own("free memory of the GPU", memory.free))

    def pinned(self, size: int) -> NDArray[np.uint8]:
        # pycuda's own pinned arrays can be given back only in the thread that made the context.
        device = self._device
        with self._current("make the GPU current"):
            address = libcuda.ask(f"pin {size:,} bytes", "cuMemHostAlloc", max(size, 1), 0)
            # An array may outlive the driver: the context stays as long as it does.
            libcuda.ask("keep the GPU open", "cuDevicePrimaryCtxRetain", device)

        def free() -> None:
            with context_of(device):
                libcuda.library().cuMemFreeHost(address)
            libcuda.library().cuDevicePrimaryCtxRelease_v2(device)

        return base.PinnedMemory(address, size, free).array()

    def upload(self, address: int, source: NDArray[Any], stream: int) -> None:
        base.check_array(source, written=False)
        with self._current(f"copy {source.nbytes:,} bytes to the GPU"):
            known = self._known(stream)
            if source.nbytes:
                cuda.memcpy_htod_async(address, source.reshape(-1).view(np.uint8), known)

    def download(self, target: NDArray[Any], address: int, stream: int) -> None:
        base.check_array(target, written=True)
        with self._current(f"copy {target.nbytes:,} bytes from the GPU"):
            known = self._known(stream)
            if target.nbytes:
                cuda.memcpy_dtoh_async(target.reshape(-1).view(np.uint8), address, known)

    def stream(self) -> int:
        with self._current("make a stream"):
            made = cuda.Stream(NON_BLOCKING)
            handle = int(made.handle)
            self._streams[handle] = made
            del made
        self._own("give a stream back", lambda: self._streams.pop(handle))
        return handle

    def synchronize(self, stream: int) -> None:
        with self._current("wait for the GPU"):
            self._known(stream).synchronize()

    @contextmanager
    def capture(self, stream: int) -> Iterator[list[Graph]]:
        graphs: list[Graph] = []
        tried = "record a stream"
        with self._current(tried):
            self._known(stream)
            libcuda.call(tried, "cuStreamBeginCapture_v2", stream, libcuda.THIS_THREAD)
        self._capturing.add(stream)
        try:
            yield graphs
        except BaseException:
            with suppress(KernelError), self._current(tried):
                recorded = libcuda.ask(tried, "cuStreamEndCapture", stream, first=False)
                libcuda.library().cuGraphDestroy(recorded)
            raise
        finally:
            self._capturing.discard(stream)
        with self._current(tried):
            recorded = libcuda.ask(tried, "cuStreamEndCapture", stream, first=False)
            graphs.append(self._instantiate(recorded))

    def _instantiate(self, recorded: int) -> Graph:
        tried = "make a graph of what was recorded"
        try:
            graph = libcuda.ask(tried, "cuGraphInstantiateWithFlags", recorded, 0)
        finally:
            libcuda.library().cuGraphDestroy(recorded)

        def launch(stream: int) -> None:
            with self._current("launch a graph"):
                self._known(stream)
                libcuda.call("launch a graph", "cuGraphLaunch", graph, stream)

        tried = "give a graph back"
        return base.LaunchableGraph(
            launch, self._own(tried, lambda: libcuda.call(tried, "cuGraphExecDestroy", graph))
        )

    def event(self) -> Event:
        tried = "make an event"
        with self._current(tried):
            handle = libcuda.ask(tried, "cuEventCreate", 0)

        def record(stream: int) -> None:
            with self._current("record an event"):
                self._known(stream)
                external = libcuda.EXTERNAL if stream in self._capturing else 0
                libcuda.call("record an event", "cuEventRecordWithFlags", handle, stream, external)

        def elapsed(earlier: int) -> float:
            found = ctypes.c_float()
            with self._current("read two events"):
                libcuda.call("wait for an event", "cuEventSynchronize", handle)
                place = ctypes.addressof(found)
                libcuda.call("read two events", "cuEventElapsedTime", place, earlier, handle)
            return found.value

        tried = "give an event back"
        free = self._own(tried, lambda: libcuda.call(tried, "cuEventDestroy_v2", handle))
        return base.StreamEvent(handle, record, elapsed, free)

    def timer(self) -> Timer:
        return base.EventTimer(self.event(), self.event())

    def free_memory(self) -> int:
        with self._current("ask for the GPU's memory"):
            return int(cuda.mem_get_info()[0])

    def close(self) -> None:
        if self._context is None:
            return
        self._owned.clear()
        context, self._context = self._context, None
        with suppress(KernelError), context_of(self._device), trying("close the GPU"):
            # pycuda gives a primary context back from any thread only if it is current, and leaves it on CUDA's stack,
            # below the one that it puts back there if it had another.
            other = cuda.Context.get_current()
            context.push()
            context.detach()
            pops = 1 if other is None else 2
            for _ in range(pops):
                libcuda.library().cuCtxPopCurrent_v2(None)
            if other is not None:
                libcuda.call("go back to another context", "cuCtxPushCurrent_v2", other.handle)

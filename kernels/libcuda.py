"""What pycuda lacks of libcuda.so.1, through ctypes: recording streams, graphs and their events, names of errors.

Names are those that the library exports, the same from CUDA 12 to 13; a function whose signature once changed has
its version in its name.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from . import driver_base as base
from .targets import KernelError

LIBRARY = "libcuda.so.1"
THIS_THREAD = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: others may allocate beside a capture
EXTERNAL = (
    1  # CU_EVENT_RECORD_EXTERNAL: in a capture the event becomes a node of the graph; not allowed elsewhere
)
CODES = 1000  # errors are below
POINTER, NUMBER, SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
SIGNATURES = {
    "cuCtxPushCurrent_v2": (POINTER,),
    "cuCtxPopCurrent_v2": (POINTER,),  # out: context
    "cuDevicePrimaryCtxRetain": (POINTER, NUMBER),  # out: context
    "cuDevicePrimaryCtxRelease_v2": (NUMBER,),
    "cuMemHostAlloc": (POINTER, SIZE, ctypes.c_uint),  # out: address
    "cuMemFreeHost": (POINTER,),
    "cuStreamBeginCapture_v2": (POINTER, NUMBER),
    "cuStreamEndCapture": (POINTER, POINTER),  # out: graph
    "cuEventCreate": (POINTER, ctypes.c_uint),  # out: event
    "cuEventDestroy_v2": (POINTER,),
    "cuEventRecordWithFlags": (POINTER, POINTER, ctypes.c_uint),
    "cuEventSynchronize": (POINTER,),
    "cuEventElapsedTime": (POINTER, POINTER, POINTER),  # out: float32, milliseconds
    "cuGraphInstantiateWithFlags": (POINTER, POINTER, ctypes.c_ulonglong),  # out: executable graph
    "cuGraphLaunch": (POINTER, POINTER),
    "cuGraphExecDestroy": (POINTER,),
    "cuGraphDestroy": (POINTER,),
    "cuGetErrorName": (NUMBER, POINTER),  # out: text
    "cuGetErrorString": (NUMBER, POINTER),  # out: text
}


@functools.cache
def library() -> Any:
    """The library. Raises KernelError where there is none, or it is older than CUDA 12."""
    try:
        loaded = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise KernelError(base.NO_DRIVER.format(error)) from error
    for name, types in SIGNATURES.items():
        if not hasattr(loaded, name):
            raise KernelError(f"the NVIDIA driver has no {name}: update it to one of CUDA 12 or later")
        getattr(loaded, name).argtypes = types
        getattr(loaded, name).restype = NUMBER
    return loaded


def call(tried: str, name: str, *arguments: Any) -> None:
    """Call a function. Raises KernelError unless it succeeds."""
    code = getattr(library(), name)(*arguments)
    if code:
        raise base.failure(tried, text("cuGetErrorName", code) or f"error {code}")


def ask(tried: str, name: str, *arguments: Any, first: bool = True) -> int:
    """Call a function whose first (or last) argument is where the handle or address goes that it makes."""
    out = ctypes.c_void_p()
    place = ctypes.addressof(out)
    call(tried, name, *((place, *arguments) if first else (*arguments, place)))
    return out.value or 0


def text(name: str, code: int) -> str:
    """The name or the words of an error; empty if there is no such error."""
    out = ctypes.c_char_p()
    getattr(library(), name)(code, ctypes.addressof(out))
    return (out.value or b"").decode()


@functools.cache
def error_names() -> dict[str, str]:
    """The words of every error → its name."""
    return {text("cuGetErrorString", code): text("cuGetErrorName", code) for code in range(1, CODES)}

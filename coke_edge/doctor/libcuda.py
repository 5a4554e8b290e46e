"""What the CUDA driver says of its GPUs, asked through ctypes: `python -m coke_edge.doctor.libcuda`.

Runs in a process of its own and prints one JSON object, since a driver that does not fit its kernel module may
crash or hang. Numbers of functions, attributes and errors are those of cuda.h (NVIDIA's CUDA driver API).
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from typing import Any

LIBRARY = "libcuda.so.1"
# CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, …COMPUTE_CAPABILITY_MAJOR, …_MINOR, …MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
PROCESSORS, MAJOR, MINOR, SHARED_MEMORY = 16, 75, 76, 97


def describe(load: Callable[[str], Any] = ctypes.CDLL) -> dict[str, Any]:
    """`error` (of the loader), `code` of cuInit, `cuda` (12060 is 12.6), and the devices."""
    try:
        library = load(LIBRARY)
    except OSError as error:
        return {"error": str(error), "code": None, "cuda": None, "devices": []}
    code = library.cuInit(0)
    version, count = ctypes.c_int(), ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    if code == 0:
        library.cuDeviceGetCount(ctypes.byref(count))
    devices = [device(library, number) for number in range(count.value)]
    return {"error": None, "code": code, "cuda": version.value, "devices": devices}


def device(library: Any, number: int) -> dict[str, Any]:
    """One GPU: name, capability (87 is 8.7), multiprocessors, bytes of memory, and of a block, place on the bus."""
    handle, memory = ctypes.c_int(), ctypes.c_size_t()
    name, bus = ctypes.create_string_buffer(256), ctypes.create_string_buffer(32)
    library.cuDeviceGet(ctypes.byref(handle), number)
    library.cuDeviceGetName(name, len(name), handle)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    library.cuDeviceGetPCIBusId(bus, len(bus), handle)  # stays empty where it refuses
    major, minor = attribute(library, handle, MAJOR), attribute(library, handle, MINOR)
    return {
        "name": name.value.decode(errors="replace"),
        "capability": 10 * major + minor,
        "memory": memory.value,
        "processors": attribute(library, handle, PROCESSORS),
        "shared_memory": attribute(library, handle, SHARED_MEMORY),
        "bus": bus.value.decode(errors="replace"),
    }


def attribute(library: Any, handle: ctypes.c_int, number: int) -> int:
    """One attribute of a GPU."""
    value = ctypes.c_int()
    library.cuDeviceGetAttribute(ctypes.byref(value), number, handle)
    return value.value


if __name__ == "__main__":
    print(json.dumps(describe()))

"""The questions to libcuda, put to an object that answers as cuda.h says."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from typing import Any

from coke_edge.doctor.libcuda import describe


class Library:
    """One GPU; functions fill the object that they are given a reference to."""

    def __init__(self, code: int = 0) -> None:
        self.code = code

    def cuInit(self, flags: int) -> int:  # noqa: N802 - CUDA's names
        assert flags == 0
        return self.code

    def cuDriverGetVersion(self, version: Any) -> None:  # noqa: N802
        version._obj.value = 12060

    def cuDeviceGetCount(self, count: Any) -> None:  # noqa: N802
        count._obj.value = 1

    def cuDeviceGet(self, handle: Any, number: int) -> None:  # noqa: N802
        handle._obj.value = number

    def cuDeviceGetName(self, name: Any, size: int, handle: ctypes.c_int) -> None:  # noqa: N802
        assert size == 256
        name.value = b"Orin"

    def cuDeviceTotalMem_v2(self, memory: Any, handle: ctypes.c_int) -> None:  # noqa: N802
        memory._obj.value = 8 << 30  # does not fit in 32 bits

    def cuDeviceGetPCIBusId(self, bus: Any, size: int, handle: ctypes.c_int) -> None:  # noqa: N802
        assert size > 12  # bytes of a place and the end of a text
        bus.value = b"0000:65:00.0"

    def cuDeviceGetAttribute(self, value: Any, number: int, handle: ctypes.c_int) -> None:  # noqa: N802
        value._obj.value = {75: 8, 76: 7, 16: 16, 97: 166912}[number]


def test_a_gpu() -> None:
    [device] = describe(lambda name: Library())["devices"]
    assert device == {
        "name": "Orin",
        "capability": 87,
        "memory": 8 << 30,
        "processors": 16,
        "shared_memory": 166912,
        "bus": "0000:65:00.0",
    }


def test_a_driver_that_refuses() -> None:
    assert describe(lambda name: Library(100)) == {"error": None, "code": 100, "cuda": 12060, "devices": []}


def test_no_driver() -> None:
    def absent(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    assert describe(absent)["error"] == "libcuda.so.1: cannot open shared object file"


def test_the_process_prints_one_object() -> None:
    output = subprocess.run(
        [sys.executable, "-m", "coke_edge.doctor.libcuda"], capture_output=True, text=True, check=True
    )
    assert json.loads(output.stdout).keys() == {"error", "code", "cuda", "devices"}


def test_the_probe_is_light() -> None:
    code = "import sys, coke_edge.doctor.libcuda; print({'numpy', 'rich', 'typer'} & sys.modules.keys())"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "set()"

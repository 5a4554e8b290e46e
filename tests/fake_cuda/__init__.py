"""A CUDA driver for tests: libcuda.so.1 with memory, streams, graphs and launches on the CPU, strict as a GPU is.

    def test_it(fake_cuda):                                  # the fixture; see conftest.py
        artifact = cubins.build(folder, ["orin"])            # kernels.json and cubins, without a compiler
        numpy_kernels.install(fake_cuda, artifact)           # what a launch of them computes
        driver = open_driver("cuda-python")
        ...
        assert fake_cuda.alive() == {} and fake_cuda.leaked() == {}

Not faked: several streams in one capture, textures and arrays, managed memory, more than one kind of GPU.
"""

from __future__ import annotations

import ctypes.util
import os
import subprocess
from pathlib import Path

from . import build, cubins, numpy_kernels
from .library import COPY_MS, GARBAGE, LAUNCH_MS, FakeCuda, Fault, Launch

__all__ = [
    "COPY_MS",
    "GARBAGE",
    "LAUNCH_MS",
    "FakeCuda",
    "Fault",
    "Launch",
    "Unavailable",
    "cubins",
    "insisted",
    "load",
    "numpy_kernels",
]

INSIST = "COKE_EDGE_FAKE_CUDA"  # set to 1: tests that cannot have the fake driver, or pycuda, fail instead of skipping
_loaded: list[FakeCuda] = []


class Unavailable(Exception):  # noqa: N818
    """There can be no fake driver here: the reason to skip."""


def load() -> FakeCuda:
    """The library in this process, disabled: it says that there is no GPU until `reset`. Raises Unavailable."""
    if not _loaded:
        if ctypes.util.find_library("cuda") and not insisted():
            raise Unavailable(
                "this machine has an NVIDIA driver, which the fake one would replace for the whole process: "
                f"set {INSIST}=1 to run these tests, and these alone"
            )
        if mapped():
            raise Unavailable(
                "the NVIDIA driver is loaded already: run these tests in a process of their own"
            )
        header = build.find_header()
        if header is None:
            raise Unavailable("no cuda.h to make a fake driver from: install triton, or the CUDA toolkit")
        try:
            fake = FakeCuda(build.build(header))
        except (OSError, subprocess.CalledProcessError) as error:
            raise Unavailable(f"the fake driver cannot be built: {error}") from error
        fake.disable()
        _loaded.append(fake)
    return _loaded[0]


def insisted() -> bool:
    """Whether nothing may skip."""
    return os.environ.get(INSIST) == "1"


def mapped() -> bool:
    """Whether a libcuda is in this process."""
    maps = Path("/proc/self/maps")
    return maps.exists() and "/libcuda.so" in maps.read_text()

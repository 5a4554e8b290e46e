"""The ahead-of-time binaries through a driver package, without Triton in the launch: head, crops and CUDA graphs."""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from coke_edge.benchmarks.gpu_check import launched, plugins
from coke_edge.benchmarks.gpu_check.rows import SKIPPED, Options, Row, broken, checked, row
from coke_edge.kernels import artifact
from coke_edge.kernels.driver import Driver, open_driver
from coke_edge.kernels.launch import Kernels
from coke_edge.kernels.targets import of_capability
from coke_edge.kernels.variants import DTYPES

MODULES = {"pycuda": "pycuda.driver", "cuda-python": "cuda.bindings.driver"}  # driver package → its module
CHANNELS = 128
POISON = 1 << 26  # bytes


def rows(options: Options, package: str) -> Iterator[Row]:
    """Through one driver package: binaries that are built here, then those of `options.kernels`."""
    if options.small:
        yield row(package, SKIPPED, reason="binaries need a GPU")
        return
    try:
        importlib.import_module(MODULES[package])
    except ImportError as error:
        yield row(package, SKIPPED, reason=f"{package} cannot be imported: {error}")
        return
    driver = open_driver(package)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            built = Path(temporary) / "kernels"
            try:
                yield build(driver, built)
            except Exception as error:
                yield broken("build", error)
            else:
                yield from of_folder(driver, built, "built here")
        if options.kernels:
            yield from of_folder(driver, Path(options.kernels), "given")
    finally:
        driver.close()


def build(driver: Driver, folder: Path) -> Row:
    """Compile everything for the GPU at hand."""
    from coke_edge.kernels import aot

    start = time.monotonic()
    target = of_capability(driver.gpu.capability)
    found = aot.build([target.name], folder, CHANNELS, tuple(DTYPES), plugin=True)
    return checked(
        f"build for {target.name}",
        not any(binary.spills for binary in found.binaries),
        seconds=time.monotonic() - start,
        versions=found.versions,
        binaries=len(found.binaries),
        spills=sum(binary.spills for binary in found.binaries),
    )


def of_folder(driver: Driver, folder: Path, origin: str) -> Iterator[Row]:
    """Everything that the folder holds for this GPU."""
    try:
        kernels = Kernels.of_folder(driver, folder)
        here = [b for b in artifact.read(folder).binaries if b.capability == driver.gpu.capability]
    except Exception as error:
        yield broken(origin, error)
        return
    if not here:
        yield row(origin, SKIPPED, reason=f"it holds nothing for {driver.gpu.name}")
    for binary in here:
        name = f"{origin}: {binary.name}"
        try:
            if binary.name.startswith("match"):
                for case in launched.head_cases(binary):
                    poison(driver)
                    yield launched.head(driver, kernels, f"{name} {case.name}", case)
            elif binary.name.startswith("plugin-match"):
                for case in plugins.cases(binary):
                    poison(driver)
                    yield plugins.head(driver, kernels, f"{name} {case.name}", binary, case)
            elif binary.name.startswith("warp"):
                poison(driver)
                yield launched.crop(driver, kernels, name, binary.name.rpartition("-")[2])
        except Exception as error:
            yield broken(name, error)


def poison(driver: Driver) -> None:
    """Memory that is handed out next holds NaN, as far as the driver gives the same again."""
    stream = driver.stream()
    buffer = driver.allocate(POISON)
    driver.upload(buffer.address, np.full(POISON, 0xFF, np.uint8), stream)
    driver.synchronize(stream)
    buffer.free()

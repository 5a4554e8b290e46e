"""The launch of a binary, up to the driver: which one, and nothing without its promises kept."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from coke_edge.kernels import artifact
from coke_edge.kernels.artifact import Artifact, Binary, Parameter
from coke_edge.kernels.driver import Driver, Gpu
from coke_edge.kernels.launch import Kernel, Kernels, binary_for
from coke_edge.kernels.targets import TARGETS, KernelError

CUBIN = b"\x7fELF and so on"
ORIN = Gpu("Orin (nvgpu)", 87, 16, 166_912, 64 << 30, 12_060)


def binary(target: str = "orin", **changes: Any) -> Binary:
    fields = Binary(
        name="match-fp16-nchw-hard",
        target=target,
        capability=TARGETS[target].capability,
        file=f"{target}-match.cubin",
        sha256=hashlib.sha256(CUBIN).hexdigest(),
        size=len(CUBIN),
        symbol="match",
        parameters=(
            Parameter("features", "*fp16", 16),
            Parameter("image_stride", "i64", 8),
            Parameter("cells", "i32", 8),
            Parameter("rows", "i32"),
            Parameter("temperature", "fp32"),
        ),
        scratch_slots=2,
        block=128,
        shared_memory=49_664,
        registers=96,
        spills=0,
        stack=0,
        tensor_instructions={"HMMA": 80},
        constants={"cell_stride": 1, "CHANNELS": 128, "SOFT": False},
        abi=7,
        assembler="12.9.86",
    )
    return dataclasses.replace(fields, **changes)


class Recorder:
    """A driver that writes down what it is asked."""

    def __init__(self, gpu: Gpu = ORIN) -> None:
        self.gpu = gpu
        self.loads: list[tuple[bytes, str, int]] = []
        self.launches: list[tuple[Any, ...]] = []

    def load(self, cubin: bytes, symbol: str, shared_memory: int) -> str:
        self.loads.append((cubin, symbol, shared_memory))
        return f"function {symbol}"

    def launch(self, *arguments: Any) -> None:
        self.launches.append(arguments)


@pytest.fixture
def driver() -> Recorder:
    return Recorder()


def kernels(driver: Recorder, *binaries: Binary, content: bytes = CUBIN) -> Kernels:
    return Kernels(cast(Driver, driver), Artifact(binaries, {}), lambda binary: content)


@pytest.fixture
def kernel(driver: Recorder) -> Kernel:
    return kernels(driver, binary()).kernel("match-fp16-nchw-hard")


GOOD = {"features": 4096, "image_stride": 2**40, "cells": 1024, "rows": 0, "temperature": 0.07}


def test_a_launch(driver: Recorder, kernel: Kernel) -> None:
    kernel((16, 9, 2), 77, **GOOD)
    assert driver.launches == [
        (
            "function match",
            (16, 9, 2),
            128,
            49_664,
            77,
            ["*fp16", "i64", "i32", "i32", "fp32", "*u8", "*u8"],
            [4096, 2**40, 1024, 0, 0.07, 0, 0],
        )
    ]


def test_the_order_of_the_arguments_is_the_binarys(driver: Recorder, kernel: Kernel) -> None:
    kernel((1, 1, 1), 0, **dict(reversed(GOOD.items())))
    assert driver.launches[0][-1] == [*GOOD.values(), 0, 0]


def test_numbers_of_numpy_become_plain_ones(driver: Recorder, kernel: Kernel) -> None:
    kernel(
        (1, 1, 1),
        0,
        **{**GOOD, "rows": np.int64(3), "temperature": np.float32(0.5), "features": np.uint64(32)},
    )
    assert driver.launches[0][-1][:5] == [32, 2**40, 1024, 3, 0.5]
    assert {type(value) for value in driver.launches[0][-1]} == {int, float}


def test_what_was_compiled_in_may_be_given_too(driver: Recorder, kernel: Kernel) -> None:
    kernel((1, 1, 1), 0, **GOOD, cell_stride=1, SOFT=False)
    assert driver.launches[0][-1] == [*GOOD.values(), 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": 4104}, r"hard cannot .* features = 4104: .* an address aligned to 16 bytes$"),
        ({"features": -16}, "features = -16: it must be a device address"),
        ({"features": 2**64}, "it must be a device address"),
        ({"features": 16.0}, r"features = 16\.0: it must be a device address"),
        ({"image_stride": 2**40 + 4}, "image_stride = 1099511627780: .* a multiple of 8$"),
        ({"image_stride": 2**63}, "it must be a whole number of 64 bits"),
        ({"cells": 35}, "cells = 35: it was compiled for a multiple of 8$"),
        ({"rows": 2**31}, "rows = 2147483648: it must be a whole number of 32 bits"),
        ({"rows": -(2**31) - 1}, "whole number of 32 bits"),
        ({"rows": 1.0}, r"rows = 1\.0: it must be a whole number"),
        ({"rows": True}, "rows = True: it must be a whole number"),
        ({"temperature": float("nan")}, "temperature = nan: it must be a finite number in float32"),
        ({"temperature": 1e39}, r"temperature = 1e\+39: it must be a finite"),
        ({"temperature": "warm"}, "temperature = 'warm': it must be a finite"),
        ({"cell_stride": 8}, "cell_stride = 8: it was compiled for 1$"),
        ({"SOFT": True}, "SOFT = True: it was compiled for False$"),
        (
            {"stride": 1, "height": 2},
            "takes no height, stride; its arguments are features, image_stride, cells",
        ),
    ],
)
def test_a_broken_promise_is_not_launched(
    driver: Recorder, kernel: Kernel, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(KernelError, match=message):
        kernel((1, 1, 1), 0, **{**GOOD, **change})
    assert driver.launches == []


def test_a_missing_argument(driver: Recorder, kernel: Kernel) -> None:
    with pytest.raises(KernelError, match="cannot be launched without cells, rows"):
        kernel((1, 1, 1), 0, features=0, image_stride=8, temperature=1)
    assert driver.launches == []


@pytest.mark.parametrize("grid", [(0, 1, 1), (1, 65_536, 1), (1, 1, 65_536), (2**31, 1, 1), (1, 1, -1)])
def test_a_grid_that_no_gpu_takes(driver: Recorder, kernel: Kernel, grid: tuple[int, int, int]) -> None:
    with pytest.raises(KernelError, match="cannot run on a grid"):
        kernel(grid, 0, **GOOD)
    assert driver.launches == []


def test_a_binary_is_loaded_once_and_only_when_it_is_asked_for(driver: Recorder) -> None:
    found = kernels(driver, binary(), binary("h100"))
    found.find("match-fp16-nchw-hard")
    assert driver.loads == []
    assert found.kernel("match-fp16-nchw-hard") is found.kernel("match-fp16-nchw-hard")
    assert driver.loads == [(CUBIN, "match", 49_664)]


def test_a_changed_binary_does_not_reach_the_gpu(driver: Recorder) -> None:
    with pytest.raises(KernelError, match=r"orin-match\.cubin is not the file that"):
        kernels(driver, binary(), content=CUBIN[:-1] + b"!").kernel("match-fp16-nchw-hard")
    assert driver.loads == []


def test_kernels_of_a_folder(driver: Recorder, tmp_path: Path) -> None:
    artifact.write(tmp_path, Artifact((binary(),), {}), {"orin-match.cubin": CUBIN})
    Kernels.of_folder(cast(Driver, driver), tmp_path).kernel("match-fp16-nchw-hard")((1, 1, 1), 0, **GOOD)
    assert len(driver.launches) == 1
    with pytest.raises(KernelError, match=r"there is no kernels\.json"):
        Kernels.of_folder(cast(Driver, driver), tmp_path / "none")


def refused(gpu: Gpu, binaries: Sequence[Binary], name: str = "match-fp16-nchw-hard") -> str:
    with pytest.raises(KernelError) as error:
        binary_for(gpu, Artifact(tuple(binaries), {}), name)
    return str(error.value)


def test_the_binary_of_the_gpu() -> None:
    found = binary_for(ORIN, Artifact((binary("h100"), binary("orin")), {}), "match-fp16-nchw-hard")
    assert found.target == "orin"


def test_a_gpu_without_a_binary() -> None:
    message = refused(
        dataclasses.replace(ORIN, name="NVIDIA Thor", capability=110), [binary(), binary("h100")]
    )
    assert message.startswith("nothing to launch on NVIDIA Thor: no kernel match-fp16-nchw-hard for compute ")
    assert (
        "11.0, only for orin, h100: build with coke-edge kernels build --targets orin,h100,thor " in message
    )


def test_the_command_of_another_place(driver: Recorder) -> None:
    elsewhere = Kernels(
        cast(Driver, driver),
        Artifact((binary("h100"),), {}),
        lambda binary: CUBIN,
        "coke-edge export --targets {targets}",
    )
    with pytest.raises(KernelError, match=r"only for h100: build with coke-edge export --targets h100,orin$"):
        elsewhere.find("match-fp16-nchw-hard")


def test_a_gpu_that_there_are_no_kernels_for() -> None:
    message = refused(dataclasses.replace(ORIN, name="Tesla T4", capability=75), [binary()])
    assert message.startswith("nothing to launch on Tesla T4: no kernels for compute capability 7.5")


def test_a_variant_that_was_not_built() -> None:
    message = refused(ORIN, [binary()], "match-fp32-nchw-hard")
    assert "Orin (nvgpu): no kernel match-fp32-nchw-hard for compute capability 8.7, only for orin" in message
    assert "--targets orin --out" in message


@pytest.mark.parametrize(("driver_version", "fits"), [(12_060, False), (12_090, False), (13_000, True)])
def test_a_binary_for_a_newer_driver(driver_version: int, fits: bool) -> None:
    gpu = dataclasses.replace(ORIN, driver_version=driver_version)
    newer = binary(abi=8, assembler="13.0.48")
    if fits:
        assert binary_for(gpu, Artifact((newer,), {}), newer.name) is newer
    else:
        message = refused(gpu, [newer])
        assert message.startswith(
            "orin-match.cubin (cubin ABI 8, ptxas 13.0.48) needs a CUDA 13 driver, Orin (nvgpu) has one of CUDA 12."
        )
        assert "TRITON_PTXAS_PATH" in message


def test_a_gpu_with_less_shared_memory() -> None:
    message = refused(dataclasses.replace(ORIN, shared_memory=49_152), [binary()])
    assert message.startswith(
        "orin-match.cubin needs 49,664 bytes of shared memory, Orin (nvgpu) gives a block 49,152"
    )

"""The fake driver is as strict as a GPU: what the tests over it rely on."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_cuda import GARBAGE, FakeCuda, build, cubins

from coke_edge.kernels import artifact

cuda = pytest.importorskip("cuda.bindings.driver")


def answer(result: tuple[Any, ...]) -> str:
    """The name of a status, without CUDA_ERROR_."""
    return str(result[0].name).removeprefix("CUDA_ERROR_")


def got(result: tuple[Any, ...]) -> Any:
    """What a call gave, which must have succeeded."""
    assert answer(result) == "CUDA_SUCCESS"
    return result[1] if len(result) == 2 else result[1:]


@pytest.fixture
def gpu(fake_cuda: FakeCuda) -> Iterator[FakeCuda]:
    """The fake with its context current."""
    got(cuda.cuInit(0))
    got(cuda.cuCtxPushCurrent(got(cuda.cuDevicePrimaryCtxRetain(0))))
    yield fake_cuda
    cuda.cuCtxPopCurrent()


def test_there_is_no_gpu_outside_a_test_that_asks_for_one(fake_cuda: FakeCuda) -> None:
    fake_cuda.disable()
    assert answer(cuda.cuInit(0)) == "NO_DEVICE"
    assert answer(cuda.cuMemAlloc(16)) == "NOT_INITIALIZED"


def test_nothing_works_without_a_context(fake_cuda: FakeCuda) -> None:
    assert answer(cuda.cuDeviceGetCount()) == "NOT_INITIALIZED"
    got(cuda.cuInit(0))
    for call in (
        lambda: cuda.cuMemAlloc(16),
        lambda: cuda.cuStreamCreate(1),
        lambda: cuda.cuModuleLoadData(b""),
    ):
        assert answer(call()) == "INVALID_CONTEXT"


def test_what_is_not_faked_says_so(gpu: FakeCuda) -> None:
    assert answer(cuda.cuMemAllocManaged(16, 1)) == "STUB_LIBRARY"


def test_memory_is_garbage_and_has_bounds(gpu: FakeCuda) -> None:
    address = int(got(cuda.cuMemAlloc(100)))
    assert address % 256 == 0
    assert gpu.memory(address, 100).tolist() == [GARBAGE] * 100
    host = bytearray(200)
    for offset, size in [(0, 101), (99, 2), (-1, 4)]:
        assert answer(cuda.cuMemcpyDtoH(host, address + offset, size)) == "INVALID_VALUE"
    got(cuda.cuMemcpyDtoH(host, address + 90, 10))
    got(cuda.cuMemFree(address))
    assert answer(cuda.cuMemcpyDtoH(host, address, 1)) == "INVALID_VALUE"
    assert answer(cuda.cuMemFree(address)) == "INVALID_VALUE"


def test_memory_that_is_freed_before_its_copy_breaks_the_gpu(gpu: FakeCuda) -> None:
    stream, address, pinned = (
        got(cuda.cuStreamCreate(1)),
        got(cuda.cuMemAlloc(16)),
        got(cuda.cuMemHostAlloc(16, 0)),
    )
    got(cuda.cuStreamBeginCapture(stream, cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
    got(cuda.cuMemcpyHtoDAsync(address, pinned, 16, stream))
    graph = got(cuda.cuGraphInstantiate(got(cuda.cuStreamEndCapture(stream)), 0))
    got(cuda.cuMemFree(address))
    got(cuda.cuGraphLaunch(graph, stream))
    assert answer(cuda.cuStreamSynchronize(stream)) == "ILLEGAL_ADDRESS"
    assert answer(cuda.cuMemAlloc(16)) == "ILLEGAL_ADDRESS"


def test_streams_wait_for_events_of_others(gpu: FakeCuda) -> None:
    first, second, event = (
        got(cuda.cuStreamCreate(1)),
        got(cuda.cuStreamCreate(1)),
        got(cuda.cuEventCreate(0)),
    )
    address = int(got(cuda.cuMemAlloc(4)))
    got(cuda.cuMemsetD8Async(address, 1, 4, first))
    got(cuda.cuEventRecord(event, first))
    got(cuda.cuStreamWaitEvent(second, event, 0))
    got(cuda.cuMemsetD8Async(address, 2, 2, second))
    got(cuda.cuStreamSynchronize(second))
    assert gpu.memory(address, 4).tolist() == [2, 2, 1, 1]


def test_a_failure_that_was_asked_for_comes_once(gpu: FakeCuda) -> None:
    gpu.fail("cuMemAlloc", "OUT_OF_MEMORY", after=1)
    answers = [answer(cuda.cuMemAlloc(16)) for _ in range(3)]
    assert answers == ["CUDA_SUCCESS", "OUT_OF_MEMORY", "CUDA_SUCCESS"]
    assert answer(cuda.cuMemAlloc(1 << 40)) == "OUT_OF_MEMORY"


def test_what_is_not_given_back_is_counted(gpu: FakeCuda) -> None:
    got(cuda.cuMemAlloc(16))
    got(cuda.cuStreamCreate(1))
    assert gpu.alive() == {"contexts": 1, "allocations": 1, "streams": 1}
    got(cuda.cuDevicePrimaryCtxRelease(0))
    assert gpu.alive() == {}
    assert gpu.leaked() == {"allocations": 1, "streams": 1}
    assert answer(cuda.cuMemAlloc(16)) == "CONTEXT_IS_DESTROYED"


def test_a_cubin_of_the_compiler_is_read_as_one_of_ours(gpu: FakeCuda, tmp_path: Path) -> None:
    code = (
        "import dataclasses, json, pathlib; from coke_edge.kernels import aot, targets, variants\n"
        "made = aot.compile_variant(variants.warp_variant('fp16'), targets.named('orin'), pathlib.Path('.'))\n"
        "print(json.dumps({'schema_version': 1, 'versions': {}, 'binaries': [dataclasses.asdict(made)]}))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    (binary,) = artifact.parse(done.stdout).binaries
    content = artifact.load(tmp_path, binary)
    gpu.kernel(content, lambda fake, launch: None)
    stream, module = got(cuda.cuStreamCreate(1)), got(cuda.cuModuleLoadData(content))
    assert answer(cuda.cuModuleGetFunction(module, b"warped")) == "NOT_FOUND"
    function = got(cuda.cuModuleGetFunction(module, b"warp"))

    def launch(block: int, values: list[int]) -> str:
        numbers = (ctypes.c_uint64 * len(values))(*values)
        places = (ctypes.c_void_p * len(values))(
            *(ctypes.addressof(numbers) + 8 * i for i in range(len(values)))
        )
        return answer(
            cuda.cuLaunchKernel(function, 1, 1, 1, block, 1, 1, 0, stream, ctypes.addressof(places), 0)
        )

    values = list(range(len(binary.parameters) + binary.scratch_slots))
    assert launch(binary.block // 2, values) == "INVALID_VALUE"
    assert launch(binary.block, values) == "CUDA_SUCCESS"
    got(cuda.cuStreamSynchronize(stream))
    (ran,) = gpu.launches
    sizes = [4 if parameter.type in cubins.SIZES else 8 for parameter in binary.parameters] + [8, 8]
    assert [len(word) for word in ran.parameters] == sizes
    assert [int.from_bytes(word, "little") for word in ran.parameters] == values
    assert ran.cubin == hashlib.sha256(content).hexdigest()


def test_it_has_every_function_that_the_header_names(fake_cuda: FakeCuda) -> None:
    header = build.find_header()
    assert header is not None
    named = build.macros(header.read_text(errors="replace"))
    assert named["cuMemAlloc"] == "cuMemAlloc_v2"
    assert all(hasattr(fake_cuda.library, full) for full in named.values())

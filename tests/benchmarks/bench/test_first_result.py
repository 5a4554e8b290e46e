"""The first result of a fresh process, with the memory that it has."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from coke_edge.benchmarks.bench.first_result import FirstResult, first_result, gpu_memory, median, memory
from coke_edge.benchmarks.bench.settings import Artefact
from coke_edge.doctor.machine import Machine, Output
from coke_edge.errors import CokeError

CPU = Artefact("onnxruntime", "fp32", 1)


def test_a_fresh_process() -> None:
    found = first_result("demo", CPU, Machine())
    assert 100 < found.ms < 60_000  # importing numpy and OpenCV alone takes longer than the least
    if Path("/proc/self/status").exists():
        assert found.resident_bytes is not None
        assert found.peak_bytes is not None
        assert 2**24 < found.resident_bytes <= found.peak_bytes


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(CokeError, match=r"no keypoints: cannot read the bundle .*none\.coke") as caught:
        first_result(str(tmp_path / "none.coke"), CPU, Machine())
    assert "\n" not in str(caught.value)


def test_memory_of_a_process() -> None:
    assert memory("VmPeak:\t 9 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n") == (2**20, 2**21)
    assert memory("State: S\n") == (None, None)
    assert memory(None) == (None, None)


def test_memory_of_a_gpu() -> None:
    def saying(text: str, code: int = 0) -> Machine:
        return dataclasses.replace(Machine(), run=lambda *_, **__: Output(code, text))

    assert gpu_memory(saying("512\n")) == 512 * 2**20
    assert gpu_memory(saying("[N/A]\n")) is None
    assert gpu_memory(saying("", 127)) is None


def test_the_median_of_what_is_known() -> None:
    results = [FirstResult(3.0, 30, None, None), FirstResult(1.0, 10, 5, None), FirstResult(2.0, 20, 7, None)]
    assert median(results) == FirstResult(2.0, 20, 6, None)

"""Binaries over the fake driver, and wrong ones that have to be noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_cuda import cubins, numpy_kernels

from coke_edge.benchmarks.gpu_check import binaries, launched
from coke_edge.benchmarks.gpu_check.rows import FAILED, SKIPPED, Options, Row
from coke_edge.kernels import aot
from coke_edge.kernels.artifact import Artifact

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, on NaN, in the interpreter

SMALL = Options(device="interpreter")


def failed(rows: list[Row]) -> list[Row]:
    return [found for found in rows if found["status"] == FAILED]


@pytest.fixture
def orin(fake_cuda: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A pretended Orin; what is built for it computes in numpy."""
    fake_cuda.reset(name="Orin", capability=87)

    def build(names: list[str], folder: Path, channels: int, dtypes: Any, plugin: bool) -> Artifact:
        assert (names, plugin) == (["orin"], True)
        found = cubins.build(folder, names, channels)
        numpy_kernels.install(fake_cuda, found)
        return found

    monkeypatch.setattr(aot, "build", build)
    monkeypatch.setattr(launched, "SHAPES", ((3, 5, 8, 7, 65), (2, 5, 8, 3, 0)))
    return fake_cuda


def test_binaries_pass_over_the_fake_driver(orin: Any, tmp_path: Path) -> None:
    given = cubins.build(tmp_path, ["orin"])
    numpy_kernels.install(orin, given)
    found = list(binaries.rows(Options(kernels=str(tmp_path)), "cuda-python"))
    assert failed(found) == []
    names = {one["name"] for one in found}
    for origin in ("built here", "given"):
        for binary in given.binaries:
            if not binary.name.startswith("peaks"):
                assert any(name.startswith(f"{origin}: {binary.name}") for name in names)
    assert orin.alive() == {}


def test_a_wrong_binary_is_noticed(orin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = numpy_kernels.peaks

    def wrong(call: Any) -> None:
        right(call)
        words = call.array("packed", 1)
        words += 1

    monkeypatch.setattr(numpy_kernels, "peaks", wrong)
    found = failed(list(binaries.rows(Options(), "cuda-python")))
    assert found
    assert all("match" in one["name"] for one in found)


def test_a_folder_without_kernels_is_a_row(orin: Any, tmp_path: Path) -> None:
    found = list(binaries.rows(Options(kernels=str(tmp_path)), "cuda-python"))
    (broken,) = failed(found)
    assert "kernels.json" in broken["error"]
    cubins.build(tmp_path, ["h100"])
    found = list(binaries.rows(Options(kernels=str(tmp_path)), "cuda-python"))
    assert found[-1]["reason"] == "it holds nothing for Orin"


def test_binaries_without_the_package_or_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one["status"] for one in binaries.rows(SMALL, "cuda-python")] == [SKIPPED]
    monkeypatch.setitem(binaries.MODULES, "pycuda", "no_such_module_here")
    (found,) = binaries.rows(Options(), "pycuda")
    assert found["reason"].startswith("pycuda cannot be imported")

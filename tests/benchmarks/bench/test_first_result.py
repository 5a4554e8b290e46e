"""The first result of a fresh process, with the memory that it and its backend have."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coke_edge.benchmarks.bench import first_result as module
from coke_edge.benchmarks.bench.first_result import FirstResult, absent, cold, first_result, median, memory
from coke_edge.benchmarks.bench.row import no_gpu
from coke_edge.benchmarks.bench.settings import Artefact
from coke_edge.bundle import REQUIRED, Bundle, write_bundle
from coke_edge.errors import CokeError

CPU = Artefact("onnxruntime", "fp32", 1)


def test_a_fresh_process() -> None:
    found = first_result("demo", CPU)
    assert 100 < found.ms < 60_000  # importing numpy and OpenCV alone takes longer than the least
    if Path("/proc/self/status").exists():
        assert found.resident_bytes is not None
        assert found.peak_bytes is not None
        assert 2**24 < found.resident_bytes <= found.peak_bytes
    assert found.gpu_bytes is None


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(CokeError, match=r"no keypoints: cannot read the bundle .*none\.coke") as caught:
        first_result(str(tmp_path / "none.coke"), CPU)
    assert "\n" not in str(caught.value)
    with pytest.raises(CokeError, match="a fresh process with a thing came to no keypoints: exit code 3"):
        cold([sys.executable, "-c", "raise SystemExit(3)"], "a thing")


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody keeps the process waiting."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        (SimpleNamespace(gpu_bytes=lambda: 7 << 20), 7 << 20),
        (SimpleNamespace(gpu_bytes=lambda: -5), 0),
        (object(), None),
    ],
)
def test_a_backend_is_asked_for_its_gpu_memory(
    parent: None, capsys: pytest.CaptureFixture[str], backend: object, expected: int | None
) -> None:
    module.tell(backend)
    assert json.loads(capsys.readouterr().out)["gpu"] == expected


def test_tensorrt_tells_what_it_takes(
    fake_tensorrt: Any,
    tmp_path: Path,
    parent: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The fresh process' own work, on the fake GPU: more than the weights lie there."""
    pytest.importorskip("cuda.bindings", reason="cuda-python is not installed")
    demo, path = Bundle("demo"), tmp_path / "plain.coke"
    write_bundle(path, demo.manifest, {name: demo.read(name) for name in REQUIRED})
    monkeypatch.setattr(sys, "argv", ["first_result", str(path), "tensorrt", "fp32", "0"])
    module.main()
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["gpu"] > 0


def test_what_is_lacking_has_its_reason() -> None:
    known = FirstResult(1.0, 10, 20, 30)
    assert absent(known, "none") == {}
    assert absent(FirstResult(1.0, 10, 20, None), no_gpu("onnxruntime")) == {
        "gpu_bytes": "onnxruntime runs on the CPU here"
    }
    assert "backend torch does not tell" in no_gpu("torch")
    assert absent(FirstResult(1.0, None, None, 5), "none").keys() == {"resident_bytes", "peak_bytes"}
    assert absent(None, "none").keys() == {"first_result_ms", "resident_bytes", "peak_bytes", "gpu_bytes"}


def test_memory_of_a_process() -> None:
    assert memory("VmPeak:\t 9 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n") == (2**20, 2**21)
    assert memory("State: S\n") == (None, None)
    assert memory(None) == (None, None)


def test_the_median_of_what_is_known() -> None:
    results = [FirstResult(3.0, 30, None, None), FirstResult(1.0, 10, 5, None), FirstResult(2.0, 20, 7, None)]
    assert median(results) == FirstResult(2.0, 20, 6, None)

"""What will run where, on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coke_edge.bundle import Bundle
from coke_edge.doctor.machine import Machine
from coke_edge.doctor.outlook import BackendOutlook, look_at, unopened
from coke_edge.doctor.report import examine

TENSORRT = {"tensorrt": {"version": "10.3.0", "error": None}}
OLD = {"tensorrt": {"version": "8.6.2", "error": None}}
PYCUDA = {"pycuda.driver": {"version": "2026.1", "error": None}}
RTX_13 = {"tensorrt_rtx": {"version": "1.7.1", "error": None, "details": {"cuda": 13}}}
RTX = {"tensorrt_rtx": {"version": "1.7.1", "error": None}}


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COKE_EDGE_CACHE", str(tmp_path / "cache"))


def backends(machine: Machine, bundle_path: Path) -> tuple[BackendOutlook, BackendOutlook]:
    outlook = look_at("x.coke", Bundle(bundle_path), machine, examine(machine))
    first, second = outlook.backends
    assert (first.backend, second.backend) == ("onnxruntime", "tensorrt")
    assert outlook.name == "colours"
    assert outlook.runs
    return first, second


@pytest.mark.parametrize(
    ("name", "changes", "status", "missing"),
    [
        ("laptop", {}, "missing", [("no NVIDIA GPU", None)]),
        ("container", {}, "missing", [("started without its GPU", "docker run --gpus all …")]),
        (
            "orin",
            {},
            "missing",
            [("TensorRT is missing", "-m venv --system-site-packages"), ("neither pycuda nor", "coke-edge[gpu]")],
        ),
        (
            "thor",
            {"packages": PYCUDA},
            "missing",
            [("TensorRT is missing", "sudo apt install tensorrt python3-libnvinfer")],
        ),
        ("thor", {"packages": TENSORRT | PYCUDA}, "build", []),
        ("orin", {"packages": OLD | PYCUDA}, "missing", [("TensorRT 8.6.2 is too old", None)]),
        ("desktop", {"packages": OLD | PYCUDA}, "missing", [("8.6.2 is too old", "pip install --upgrade tensorrt")]),
        ("desktop", {}, "missing", [("neither pycuda nor cuda-python", "pip install 'cuda-bindings>=12.6,<13'")]),
        ("desktop", {"packages": RTX | PYCUDA}, "build", []),
        ("desktop", {"packages": RTX_13 | PYCUDA}, "missing", [("is the build for CUDA 13", "tensorrt-rtx-cu12")]),
        ("thor", {"packages": RTX | PYCUDA}, "missing", [("TensorRT is missing", "sudo apt install tensorrt")]),
    ],
)  # fmt: skip
def test_tensorrt(
    recorded,
    bundle_path: Path,
    name: str,
    changes: dict[str, Any],
    status: str,
    missing: list[tuple[str, str | None]],
) -> None:
    onnxruntime, tensorrt = backends(recorded(name, **changes), bundle_path)
    assert onnxruntime.status == "ready"
    assert tensorrt.status == status
    assert len(tensorrt.missing) == len(missing)
    for finding, (what, command) in zip(tensorrt.missing, missing, strict=True):
        assert what in finding.what
        assert (finding.command is None) == (command is None)
        assert (command or "") in (finding.command or "")


def test_a_machine_without_gpu_learns_what_one_would_need(recorded, bundle_path: Path) -> None:
    _, tensorrt = backends(recorded("laptop"), bundle_path)
    assert "needs its driver, then pip install tensorrt cuda-bindings" in (tensorrt.note or "")
    assert "kernels for no GPU" in (tensorrt.note or "")


def test_a_bundle_without_kernels_says_where_its_head_runs(recorded, bundle_path: Path) -> None:
    _, tensorrt = backends(recorded("thor", packages=TENSORRT | PYCUDA), bundle_path)
    assert "inside the engine, in standard operators, since" in (tensorrt.note or "")
    assert "there is none in" in (tensorrt.note or "")


def test_onnxruntime_is_broken(recorded, bundle_path: Path) -> None:
    broken = {"onnxruntime": {"version": "1.19", "error": "libonnx.so: no"}}
    machine = recorded("laptop", packages=broken)
    outlook = look_at("x.coke", Bundle(bundle_path), machine, examine(machine))
    assert not outlook.runs
    [finding] = outlook.backends[0].missing
    assert finding.what == "cannot import onnxruntime (libonnx.so: no)"
    assert finding.command == "pip install --force-reinstall onnxruntime"


def test_without_numpy_no_bundle_can_be_opened(recorded) -> None:
    broken = {"numpy": {"version": None, "distribution": None, "error": "No module named 'numpy'"}}
    outlook = unopened("x.coke", examine(recorded("laptop", packages=broken)))
    assert outlook is not None
    assert not outlook.runs
    assert outlook.backends[0].missing[0].command == "pip install numpy"
    assert unopened("x.coke", examine(recorded("laptop"))) is None

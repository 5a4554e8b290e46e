"""`coke-edge doctor` on machines that are not there: what it says, and how it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from coke_edge.cli.doctor import app
from coke_edge.doctor.machine import Output

PACKAGES = {name: {"version": "10.13.3", "error": None} for name in ("tensorrt", "pycuda.driver")}


@pytest.fixture
def doctor(recorded, bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Function (machine, arguments, **changes) → the result of the command."""
    monkeypatch.setenv("COKE_EDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")

    def doctor(name: str, *arguments: str, **changes: Any) -> Result:
        monkeypatch.setattr("coke_edge.doctor.machine.Machine", lambda: recorded(name, **changes))
        return CliRunner().invoke(app, [str(bundle_path), *arguments], catch_exceptions=False)

    return doctor


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("orin", ["JetPack 6.2", "mode 25W", "sudo nvpmodel -m 2", "sudo jetson_clocks", "imx219", "12.6.68"]),
        ("thor", ["JetPack 7.1", "compute capability 11.0", "sudo apt install tensorrt python3-libnvinfer"]),
        ("desktop", ["RTX 4070", "550.54.14", "tensorrt-rtx 1.7.1", "pip install 'cuda-bindings>=12.6,<13'"]),
        ("laptop", ["avx_vnni (with int8 dot products)", "no NVIDIA GPU", "usermod -aG video", "Integrated Camera"]),
        ("container", ["in a docker container", "docker run --gpus all …"]),
        ("wsl", ["in Windows (WSL)", "RTX 3060", "pip install tensorrt-rtx-cu12"]),
    ],
)  # fmt: skip
def test_every_machine(doctor, name: str, parts: list[str]) -> None:
    result = doctor(name)
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.replace("│", " ").split())
    assert [part for part in parts if part not in text] == []
    assert "onnxruntime │ ready" in result.stdout
    assert "--selftest" in result.stderr


def test_all_is_there_but_the_engine(doctor) -> None:
    result = doctor("thor", packages=PACKAGES)
    assert "engine to be built" in result.stdout
    assert "Next: coke-edge build" in result.stderr


def test_selftest(doctor) -> None:
    found = {"names": ["a"], "xy": [[1.0, 2.0]], "similarity": [0.9], "clutter": [0.1], "visible": [0.8]}
    good, other = (Output(0, json.dumps(found | {"xy": [[x, 2.0]]})) for x in (1.0, 9.0))
    agreed = doctor("thor", "--selftest", packages=PACKAGES, trials={"onnxruntime": good, "tensorrt": good})
    assert agreed.exit_code == 0
    assert "agrees" in agreed.stdout
    differed = doctor(
        "thor", "--selftest", packages=PACKAGES, trials={"onnxruntime": good, "tensorrt": other}
    )
    assert differed.exit_code == 1
    assert "• tensorrt fp32: 1 of 1 keypoints are found elsewhere" in differed.stdout
    assert differed.stderr.startswith("error: the selftest of ")
    crashed = doctor(
        "thor",
        "--selftest",
        "--json",
        packages=PACKAGES,
        trials={"onnxruntime": good, "tensorrt": Output(-11)},
    )
    assert crashed.exit_code == 1
    assert json.loads(crashed.stdout)["selftest"][0]["trials"][1]["verdict"] == "failed"


@pytest.mark.parametrize("name", ["numpy", "onnxruntime", "cv2"])
def test_nothing_runs(doctor, name: str) -> None:
    broken = {name: {"version": "1.0", "error": "undefined symbol"}}
    result = doctor("laptop", "--selftest", packages=broken)
    assert result.exit_code == 1
    assert "pip install --force-reinstall" in result.stdout
    assert "error: nothing here runs" in result.stderr

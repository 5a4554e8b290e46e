"""`coke-edge doctor` on the machine that runs the tests."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from typer.testing import CliRunner

from coke_edge.bundle import write_bundle
from coke_edge.cli.doctor import app
from coke_edge.errors import BundleError


def test_it_tells_what_is_here_and_runs_what_it_can(bundle_path: Path) -> None:
    result = CliRunner().invoke(app, [str(bundle_path), "--selftest", "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["system"]["python"] == platform.python_version()
    assert report["packages"]["onnxruntime"]["error"] is None
    assert report["bundles"][0]["name"] == "colours"
    [test] = report["selftest"]
    assert (test["passed"], test["reference"]) == (True, "onnxruntime fp32")


@pytest.mark.parametrize("same", [True, False])
def test_selftest_compares_the_precisions_of_a_bundle(
    same: bool, tmp_path: Path, manifest, entries: dict[str, bytes]
) -> None:
    other = onnx.load_from_string(entries["model.fp32.onnx"])
    if not same:  # another clutter vector
        [grey] = [constant for constant in other.graph.initializer if constant.name == "grey"]
        grey.CopyFrom(onnx.numpy_helper.from_array(np.zeros((1, 3, 1, 1), np.float32), "grey"))
    path = tmp_path / "two.coke"
    write_bundle(path, manifest, entries | {"model.fp16.onnx": other.SerializeToString()})
    result = CliRunner().invoke(app, [str(path), "--selftest", "--json"], catch_exceptions=False)
    assert result.exit_code == (0 if same else 1)
    [test] = json.loads(result.stdout)["selftest"]
    reference, trial = test["trials"]
    assert (reference["verdict"], reference["precision"]) == ("reference", "fp32")
    assert (trial["verdict"], trial["precision"]) == ("agrees" if same else "differs", "fp16")
    assert trial["difference"]["max"] == 0  # the places are the same in both
    assert same or "responses differ" in trial["reason"]


@pytest.mark.parametrize("name", ["numpy", "cv2"])
def test_a_broken_package_is_diagnosed_and_not_suffered(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')\n")
    command = [sys.executable, "-m", "coke_edge.cli", "doctor", "--selftest"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "COLUMNS": "120"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 1, result.stderr
    assert f"cannot import {name} (libGL.so.1: cannot open shared object file)" in result.stdout
    assert "pip install --force-reinstall" in result.stdout
    assert result.stderr.strip().endswith("nothing here runs demo; what is missing stands above")


def test_several_bundles(bundle_path: Path) -> None:
    result = CliRunner().invoke(app, [str(bundle_path), str(bundle_path)], catch_exceptions=False)
    assert result.stdout.count("onnxruntime │ ready") == 2


def test_a_bundle_that_is_none() -> None:
    with pytest.raises(BundleError):
        CliRunner().invoke(app, ["none.coke"], catch_exceptions=False)

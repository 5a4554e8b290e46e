from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coke_edge.doctor.importing import built_for, look


def run(*names: str, folder: Path | None = None) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and lines of the process that imports."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); sys.argv[1:] = {names!r}; import runpy; "
    code += "runpy.run_module('coke_edge.doctor.importing', run_name='__main__')"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return output.returncode, [json.loads(line) for line in output.stdout.splitlines()]


def test_opencv_says_how_it_was_built() -> None:
    found = look("cv2")
    assert found["error"] is None
    assert found["distribution"].startswith("opencv")
    assert "Video I/O" in found["details"]["build"]


def test_onnxruntime_says_its_providers() -> None:
    assert "CPUExecutionProvider" in look("onnxruntime")["details"]["providers"]


def test_training_packages_are_found_and_not_imported() -> None:
    code = "import sys; from coke_edge.doctor.importing import look; "
    code += "print(look('torch')['version'], 'torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, imported = output.stdout.split()
    assert version[0].isdigit()
    assert imported == "False"


def test_what_is_absent_or_broken(tmp_path: Path) -> None:
    (tmp_path / "broken_one.py").write_text("raise ImportError('libcuda.so.1: cannot open\\nsecond line')\n")
    (tmp_path / "silent_one.py").write_text("raise RuntimeError\n")
    (tmp_path / "without_metadata.py").write_text("__version__ = '3.2'\n")
    code, lines = run("no_such_one", "broken_one", "silent_one", "without_metadata", folder=tmp_path)
    assert code == 0
    errors = {line["package"]: line["error"] for line in lines if "error" in line}
    assert errors == {
        "no_such_one": "No module named 'no_such_one'",
        "broken_one": "libcuda.so.1: cannot open",
        "silent_one": "RuntimeError",
        "without_metadata": None,
    }
    assert lines[-1]["version"] == "3.2"


def test_the_fatal_one_is_the_last_that_was_begun(tmp_path: Path) -> None:
    (tmp_path / "fatal_one.py").write_text("import os; os.abort()\n")
    code, lines = run("json", "fatal_one", "msgspec", folder=tmp_path)
    assert code < 0
    assert lines[-1] == {"package": "fatal_one"}


def test_tensorrt_from_pip_is_built_for_one_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "made_up_one_cu12-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up-one-cu12\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert built_for("made_up_one") == 12
    assert built_for("made_up_two") is None

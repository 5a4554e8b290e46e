"""Twenty seconds of what `python -m coke_edge.benchmarks.soak` does for longer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.alone
def test_a_live_run_survives_whatever_happens(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "coke_edge.benchmarks.soak",
        "--minutes",
        "0.33",
        "--out",
        tmp_path / "o.json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads((tmp_path / "o.json").read_text())
    assert done.returncode in (0, 1), done.stderr
    assert json.loads(done.stdout) == report
    assert report["uncaught"] == []
    assert "Traceback" not in done.stderr
    assert report["frames"] > 100
    faults = report["faults"]
    assert faults["broken"] > 0
    assert faults["damaged"] > 0
    assert faults["sink failures"] > 0
    assert faults["files read again"] > 4
    assert "files spoilt" not in faults
    assert abs(report["resident_mib"]["growth"]) < 0.1

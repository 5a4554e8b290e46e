"""What becomes of compute-sanitizer's word, and what it watches."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from coke_edge.benchmarks.gpu_check import exercise, sanitizer
from coke_edge.benchmarks.gpu_check.rows import FAILED, PASSED, SKIPPED, Options

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, on NaN, in the interpreter


def fake_tool(folder: Path, script: str) -> None:
    tool = folder / "compute-sanitizer"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", PASSED),
        ("echo '========= Invalid __global__ read of size 4'; exit 9", FAILED),
        ("echo 'Error: Device not supported'; exit 255", SKIPPED),
        ("sleep 60", SKIPPED),
    ],
    ids=["clean", "found", "unsupported", "slow"],
)
def test_what_the_sanitizer_says(
    script: str, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tool(tmp_path, f'echo "$@" >> {tmp_path}/asked\n{script}')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sanitizer, "SECONDS", 0.5)
    found = list(sanitizer.rows(Options()))
    assert [one["status"] for one in found] == [status, status]
    asked = (tmp_path / "asked").read_text()
    assert "--tool memcheck" in asked
    assert "--tool racecheck" in asked
    assert "gpu_check.exercise" in asked


def test_without_the_sanitizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sanitizer, "find_tool", lambda: None)
    assert [one["status"] for one in sanitizer.rows(Options())] == [SKIPPED, SKIPPED]


def test_what_the_sanitizer_watches_is_right(capsys: Any) -> None:
    assert exercise.main("cpu") == 0
    assert "exercised 2 cases, wrong: []" in capsys.readouterr().out

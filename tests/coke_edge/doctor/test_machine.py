from __future__ import annotations

import sys
from pathlib import Path

from coke_edge.doctor.machine import MISSING, TIMED_OUT, Machine, Output, run_tool


def test_a_tool_that_is_missing_hangs_crashes_or_answers() -> None:
    assert run_tool(["no-such-tool-anywhere"]).code == MISSING
    hanging = run_tool([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.2)
    assert hanging.code == TIMED_OUT
    assert hanging.ending == "no answer within 0 s"
    crashed = run_tool([sys.executable, "-c", "import os; os.abort()"])
    assert crashed.ending == "crashed with signal 6"
    assert run_tool([sys.executable, "-c", "print(1)"]).stdout == "1\n"
    assert Output(3, stderr="one\ntwo\n").ending == "two"
    assert Output(3).ending == "exit code 3"


def test_reading(tmp_path: Path) -> None:
    machine = Machine(root=tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "list").write_bytes(b"one\0two\0")
    assert machine.read("/etc/list") == "one\ntwo"
    assert machine.read("/etc") is None
    assert machine.read("/etc/none") is None


def test_numbers_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 0):
        (tmp_path / f"video{number}").touch()
    assert Machine(root=tmp_path).find("/", "video[0-9]*") == ["/video0", "/video9", "/video10"]
    assert Machine(root=tmp_path).find("/none", "*") == []

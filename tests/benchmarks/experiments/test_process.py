"""Processes of a run: their log, how they are stopped, and the lock that they inherit."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from coke_edge.benchmarks.experiments import process
from coke_edge.benchmarks.experiments.cache import locked
from coke_edge.benchmarks.experiments.process import Stop, last_words, run_process

KIND = """
import signal, sys, time
def stop(number, frame):
    print("saved", flush=True)
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch) -> Path:
    """A folder for modules that `python -m` finds."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(process, "POLL", 0.05)
    return tmp_path


def wait_for(log: Path, text: str) -> None:
    end = time.monotonic() + 30
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < end, text
        time.sleep(0.02)


def test_output_is_kept_and_the_status_told(module: Path) -> None:
    (module / "quick.py").write_text("import sys\nprint('one')\nprint('two', file=sys.stderr)\nsys.exit(3)\n")
    log = module / "log.txt"
    log.write_text("zero\n")
    assert run_process(["quick"], log, Stop(), [], lambda: None) == 3
    assert set(log.read_text().split()) == {"zero", "one", "two"}
    assert set(last_words(log, len("zero\n")).split(" / ")) == {"one", "two"}


def test_a_stop_is_handed_on_and_waited_for(module: Path) -> None:
    (module / "kind.py").write_text(KIND)
    stop, log = Stop(), module / "log.txt"

    def ask() -> None:
        wait_for(log, "ready")
        stop.ask(2, None)

    thread = threading.Thread(target=ask)
    thread.start()
    assert run_process(["kind"], log, stop, [], lambda: None) == 130
    thread.join()
    assert "saved" in log.read_text()
    assert stop.asked
    assert stop.child is None


def test_a_second_stop_does_not_wait(module: Path) -> None:
    code = KIND.replace("sys.exit(130)", "pass")
    (module / "stubborn.py").write_text(code)
    stop, log = Stop(), module / "log.txt"

    def ask() -> None:
        wait_for(log, "ready")
        stop.ask(2, None)
        wait_for(log, "saved")
        stop.ask(2, None)

    thread = threading.Thread(target=ask)
    thread.start()
    assert run_process(["stubborn"], log, stop, [], lambda: None) < 0
    thread.join()


def test_nothing_is_left_behind_if_the_watcher_fails(module: Path) -> None:
    (module / "kind.py").write_text(KIND)
    stop = Stop()

    def look() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_process(["kind"], module / "log.txt", stop, [], look)
    assert stop.child is None


def test_a_process_whose_parent_is_gone_still_holds_its_run(tmp_path: Path) -> None:
    code = "import sys; print('there', flush=True); sys.stdin.read()"
    with locked(tmp_path) as lock:
        assert lock is not None
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[lock]
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"there\n"
    with locked(tmp_path) as second:
        assert second is None
    child.communicate()
    with locked(tmp_path) as third:
        assert third is not None

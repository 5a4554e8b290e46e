"""One process after the other, each with its log; a stop that is asked for is handed on and waited for."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

POLL = 2.0  # s between two looks at a process


class Stop:
    """SIGINT and SIGTERM end the process that is running, kindly at first, at once the second time; none follows."""

    def __init__(self) -> None:
        self.asked = False
        self.child: subprocess.Popen[bytes] | None = None

    def ask(self, number: int, frame: object) -> None:
        child = self.child
        if child is not None and child.poll() is None:
            child.kill() if self.asked else child.terminate()
        self.asked = True

    @contextmanager
    def at_signals(self) -> Iterator[None]:
        """While this lasts, the signals ask."""
        before: dict[int, Callable[..., Any] | int | None] = {}
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            before[number] = signal.signal(number, self.ask)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_process(
    arguments: Sequence[str], log: Path, stop: Stop, kept_open: Sequence[int], look: Callable[[], None]
) -> int:
    """Run `python -m arguments` to its end, its output appended to `log`; returns its exit status.

    It has a session of its own, so that Ctrl-C in a terminal reaches it through `stop` alone; the files of the
    descriptors `kept_open` stay open in it. `look` is called now and then while it runs.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(kept_open),
        )
        stop.child = child
        if stop.asked:  # before the process was there to be told
            child.terminate()
        try:
            while True:
                try:
                    return child.wait(POLL)
                except subprocess.TimeoutExpired:
                    look()
        finally:
            stop.child = None
            if child.poll() is None:  # something failed here: no process is left behind
                child.kill()
                child.wait()


def last_words(log: Path, start: int = 0, lines: int = 3) -> str:
    """The last lines of a log that say something, on one line; `start` is the byte from which on it is read."""
    text = log.read_bytes()[start:].decode(errors="replace") if log.exists() else ""
    return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])

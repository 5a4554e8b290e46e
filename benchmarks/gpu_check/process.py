"""Sections as processes: rows read as they come, and an end by force for what does not end by itself."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from coke_edge.benchmarks.gpu_check.rows import FAILED, Options, Row, row
from coke_edge.benchmarks.gpu_check.sections import Section

GRACE = 15.0  # seconds beyond a section's time, in which it may end by itself

Line = str | None  # None: there are no more


def section_rows(section: Section, options: Options, seconds: float, log: Path) -> Iterator[Row]:
    """Run a section; its stderr is added to `log`. A last row says so if the process died or had to be ended."""
    command = [sys.executable, "-m", "coke_edge.benchmarks.gpu_check.section", section.name]
    command += [json.dumps(dataclasses.asdict(options)), str(seconds)]
    end = time.monotonic() + seconds + GRACE
    with log.open("a") as errors:
        errors.write(f"\n== {section.name}\n")
        errors.flush()
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=surroundings(options),
            start_new_session=True,  # so that what it starts (compilers) ends with it
        )
    assert process.stdout is not None
    try:
        for line in lines(process.stdout, end):
            yield json.loads(line)
        status = process.wait(max(0.0, end - time.monotonic()))
        if status != 0:
            yield row("process", FAILED, error=f"the section's process ended with {status}; see {log.name}")
    except subprocess.TimeoutExpired:
        yield row("process", FAILED, error=f"nothing came for too long: ended after {seconds + GRACE:.0f} s")
    except ValueError:  # a line that is no JSON: the process died in the middle of it
        yield row("process", FAILED, error=f"the section's last row is not whole; see {log.name}")
    finally:
        stop(process)


def lines(stream: IO[str], end: float) -> Iterator[str]:
    """Lines of a pipe until it closes. Raises TimeoutExpired if it has not at `end`, of the monotonic clock."""
    found: queue.SimpleQueue[Line] = queue.SimpleQueue()

    def read() -> None:
        for line in stream:
            found.put(line)
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = found.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            raise subprocess.TimeoutExpired("section", end) from None
        if line is None:
            return
        yield line


def stop(process: subprocess.Popen[str]) -> None:
    """End a process and what it started, if it still runs."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def surroundings(options: Options) -> dict[str, str]:
    """The environment of a section: this package can be imported, and Triton interprets only if asked to.

    Where Triton could not keep what it compiles in the home folder, it does so among the temporary files.
    """
    found = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    if options.small:
        found["TRITON_INTERPRET"] = "1"
    if not os.access(os.path.expanduser("~"), os.W_OK):
        found.setdefault("TRITON_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"triton-{os.getuid()}"))
    found["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return found

"""compute-sanitizer over a few small problems: memory out of bounds, and races in shared memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

from coke_edge.benchmarks.gpu_check.rows import SKIPPED, Options, Row, checked, row

TOOLS = ("memcheck", "racecheck")
SECONDS = 65  # for each
FOUND = 9  # exit status if the tool found something
PLACES = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer")
TAIL = 15  # lines of the tool's report that are kept


def rows(options: Options) -> Iterator[Row]:
    """One row a tool; skipped, with the reason, where it is missing or cannot look into this GPU."""
    tool = find_tool()
    for name in TOOLS:
        if tool is None:
            yield row(name, SKIPPED, reason="compute-sanitizer is not installed")
        elif options.small:
            yield row(name, SKIPPED, reason="compute-sanitizer needs a GPU")
        else:
            yield run(tool, name)


def find_tool() -> str | None:
    """Where compute-sanitizer is, on the PATH or in the toolkit."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *PLACES])
    return shutil.which("compute-sanitizer", path=path)


def run(tool: str, name: str) -> Row:
    """One tool over `exercise.py`."""
    command = [tool, "--tool", name, "--error-exitcode", str(FOUND), "--report-api-errors", "no"]
    command += [sys.executable, "-m", "coke_edge.benchmarks.gpu_check.exercise"]
    # Each tensor gets memory of its own, so that one element too many is seen.
    surroundings = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    surroundings["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=SECONDS, env=surroundings
        )
    except subprocess.TimeoutExpired:
        return row(name, SKIPPED, reason=f"it was not done after {SECONDS} s")
    except OSError as error:
        return row(name, SKIPPED, reason=f"it cannot be run: {error.strerror}")
    return judged(name, found.returncode, found.stdout + found.stderr)


def judged(name: str, status: int, output: str) -> Row:
    """What the exit status and the output of the tool say."""
    tail = output.strip().splitlines()[-TAIL:]
    if "not supported" in output.lower() and "exercised" not in output:
        return row(name, SKIPPED, reason="the tool does not support this device", output=tail)
    return checked(name, status == 0, exit_status=status, output=[] if status == 0 else tail)

"""How long a fresh process takes to its first keypoints, and what memory it holds then.

`python -m coke_edge.benchmarks.bench.first_result MODEL BACKEND PRECISION THREADS` is that process.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from coke_edge.benchmarks.bench.settings import Artefact
from coke_edge.doctor.machine import Machine
from coke_edge.errors import CokeError

WORDS = (
    "first result: from the start of a new Python process, which imports coke_edge, opens the model and copies a "
    "generated frame, to its first keypoints; after the first such process, which counts like the others, files are in "
    "the system's cache"
)
TIMEOUT = 600.0  # seconds
GPU_MEMORY = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]


@dataclasses.dataclass(frozen=True)
class FirstResult:
    """One fresh process."""

    ms: float
    resident_bytes: int | None
    peak_bytes: int | None
    gpu_bytes: int | None  # by how much the whole GPU's memory grew


def first_result(model: str, artefact: Artefact, machine: Machine) -> FirstResult:
    """Start a process, wait for its first keypoints, and end it. Raises CokeError if it gives none."""
    arguments = [model, artefact.backend, artefact.precision, str(artefact.threads)]
    command = [sys.executable, "-m", "coke_edge.benchmarks.bench.first_result", *arguments]
    before = gpu_memory(machine)
    start = time.monotonic()
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        watchdog = threading.Timer(TIMEOUT, process.kill)
        watchdog.daemon = True  # an interrupted run does not wait for it
        watchdog.start()
        line = process.stdout.readline()  # what it prints at its first keypoints; then it waits for us
        during = gpu_memory(machine)
        process.stdin.close()
        process.wait()
        watchdog.cancel()
        errors.seek(0)
        said_last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
    try:
        said: dict[str, Any] = json.loads(line)
    except ValueError:
        reason = said_last[0] if said_last else f"exit code {process.returncode}"
        raise CokeError(f"a fresh process with {model} came to no keypoints: {reason}") from None
    grown = during - before if before is not None and during is not None else None
    return FirstResult(
        1e3 * (said["at"] - start),
        said["resident"],
        said["peak"],
        max(grown, 0) if grown is not None else None,
    )


def gpu_memory(machine: Machine) -> int | None:
    """Bytes in use on the first NVIDIA GPU by everybody; None where `nvidia-smi` does not tell."""
    text = machine.run(GPU_MEMORY).stdout.strip()
    return int(text) * 2**20 if text.isdigit() else None


def median(results: list[FirstResult]) -> FirstResult:
    """Of each figure, of one result at least; None where no process told it."""

    def middle(values: list[int | None]) -> int | None:
        known = [value for value in values if value is not None]
        return int(statistics.median(known)) if known else None

    return FirstResult(
        statistics.median(result.ms for result in results),
        middle([result.resident_bytes for result in results]),
        middle([result.peak_bytes for result in results]),
        middle([result.gpu_bytes for result in results]),
    )


def memory(status: str | None) -> tuple[int | None, int | None]:
    """Resident bytes of a process now and at most, from its /proc/…/status; None where there is none."""
    found: dict[str, int] = {}
    for line in (status or "").splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            found[name] = 1024 * int(rest.split()[0])
    return found.get("VmRSS"), found.get("VmHWM")


def main() -> None:
    """Be that process."""
    from coke_edge.benchmarks.bench.frames import Generated, regions
    from coke_edge.benchmarks.bench.model import open_detector

    model, backend, precision, threads = sys.argv[1:]
    frame = Generated(1).read(0)
    detector = open_detector(model, Artefact(backend, precision, int(threads)))
    detector.batch(frame, regions(frame.shape[0], frame.shape[1], 1))
    at = time.monotonic()
    resident, peak = memory(Machine().read("/proc/self/status"))
    print(json.dumps({"at": at, "resident": resident, "peak": peak}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    try:
        main()
    except CokeError as error:
        sys.exit(str(error))

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
from collections.abc import Sequence
from typing import Any

from coke_edge.benchmarks.bench.settings import Artefact
from coke_edge.doctor.machine import Machine
from coke_edge.errors import CokeError

MODULE = "coke_edge.benchmarks.bench.first_result"
WORDS = (
    "first result: from the start of a new Python process, which imports coke_edge, opens the model and copies a "
    "generated frame, to its first keypoints; after the first such process, which counts like the others, files are in "
    "the system's cache"
)
TIMEOUT = 600.0  # seconds


@dataclasses.dataclass(frozen=True)
class FirstResult:
    """One fresh process."""

    ms: float
    resident_bytes: int | None
    peak_bytes: int | None
    gpu_bytes: int | None  # as its backend tells it; None for one that tells nothing


def first_result(model: str, artefact: Artefact) -> FirstResult:
    """Of an artefact of a model. Raises CokeError if a fresh process comes to no keypoints."""
    arguments = [model, artefact.backend, artefact.precision, str(artefact.threads)]
    return cold([sys.executable, "-m", MODULE, *arguments], model)


def cold(command: Sequence[str], name: str) -> FirstResult:
    """Start a process that calls `tell` at its first keypoints, wait for that, and end it.

    Raises CokeError, which calls it by `name`, if it comes to none.
    """
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
        line = process.stdout.readline()  # what `tell` prints; then it waits for us
        process.stdin.close()
        process.wait()
        watchdog.cancel()
        errors.seek(0)
        said_last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
    try:
        said: dict[str, Any] = json.loads(line)
    except ValueError:
        reason = said_last[0] if said_last else f"exit code {process.returncode}"
        raise CokeError(f"a fresh process with {name} came to no keypoints: {reason}") from None
    return FirstResult(1e3 * (said["at"] - start), said["resident"], said["peak"], said["gpu"])


def tell(backend: object = None) -> None:
    """Say, in the fresh process, that it has its first keypoints, and what memory it and its backend hold."""
    at = time.monotonic()
    resident, peak = memory(Machine().read("/proc/self/status"))
    ask = getattr(backend, "gpu_bytes", None)
    gpu = max(ask(), 0) if ask else None  # below 0 others gave memory back meanwhile
    print(json.dumps({"at": at, "resident": resident, "peak": peak, "gpu": gpu}), flush=True)
    sys.stdin.read()


def median(results: Sequence[FirstResult]) -> FirstResult:
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


def absent(first: FirstResult | None, no_gpu: str) -> dict[str, str]:
    """Which of its fields a row lacks, and why; `no_gpu` is why a backend told no GPU memory."""
    if first is None:
        names = ("first_result_ms", "resident_bytes", "peak_bytes", "gpu_bytes")
        return dict.fromkeys(names, "no fresh process was asked for")
    found: dict[str, str] = {}
    if first.resident_bytes is None:
        found |= dict.fromkeys(("resident_bytes", "peak_bytes"), "this system has no /proc/self/status")
    if first.gpu_bytes is None:
        found["gpu_bytes"] = no_gpu
    return found


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
    tell(detector.backend)


if __name__ == "__main__":
    try:
        main()
    except CokeError as error:
        sys.exit(str(error))

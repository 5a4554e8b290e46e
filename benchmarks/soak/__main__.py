"""Does a live run last? `python -m coke_edge.benchmarks.soak [--minutes 5] [--out FILE]`; a day is `--minutes 1440`.

A camera that breaks off, changes its size and sends damaged frames; a detector on random peaks, with a tracked
region and smoothing; sinks that throw, are slow, or find the disk full. All of it at random, from `--seed`, as
fast as it goes. Every file that a sink finishes is read again, and deleted.

The allocator finds its size within some thousand frames (64 to about 95 MiB); the time counts from then on. It passes
if nothing was raised that nobody caught, every file could be read, and the resident memory of the last fifth is within
2 % of that of the first fifth.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import math
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from coke_edge.benchmarks.environment import host, versions
from coke_edge.benchmarks.soak.faults import FaultyCamera
from coke_edge.benchmarks.soak.memory import Memory
from coke_edge.benchmarks.soak.outputs import sinks
from coke_edge.benchmarks.soak.random_detector import random_detector
from coke_edge.files import replacing
from coke_edge.stream.delivery import LiveDelivery
from coke_edge.stream.frame import Result
from coke_edge.stream.live_source import LiveSource
from coke_edge.stream.run import detect, run
from coke_edge.stream.smoothing import OneEuro
from coke_edge.stream.supervised_sink import Patience

GROWTH = 0.02  # of resident memory, from the first to the last fifth
SETTLED = 4_000  # frames, after which the allocator has found its size
PATIENCE = Patience(first=0.05, longest=0.5, steady=0.5)


def soak(minutes: float, seed: int, pace: float) -> dict[str, Any]:
    """The run, and what came of it."""
    faults: Counter[str] = Counter()
    source = LiveSource("soak", partial(FaultyCamera, random.Random(seed), faults, pace))
    memory = Memory(every=minutes * 60 / 300)
    gc.collect()
    with tempfile.TemporaryDirectory() as folder, uncaught_exceptions() as uncaught:
        outputs = LiveDelivery(sinks(Path(folder), seed, faults), PATIENCE)
        results = detect(random_detector(seed), source, "track", OneEuro(), max_age=1.0)
        summary = run(watched(results, memory, minutes * 60), [outputs], stop=source.stop)
        source.stop()
        samples = memory.stop()
    fifth = len(samples) // 5
    first, last = (float(np.mean(part)) for part in (samples[:fifth], samples[-fifth:]))
    growth = last / first - 1
    return {
        "minutes": minutes,
        "seed": seed,
        "frames": summary.frames,
        "frames_per_second": summary.frames / summary.seconds,
        "dropped": summary.dropped,
        "outages": source.outages,
        "age_ms": summary.age_ms,
        "faults": dict(faults),
        "sinks_lost": outputs.lost,
        "uncaught": uncaught,
        "resident_mib": {"first_fifth": first / 2**20, "last_fifth": last / 2**20, "growth": growth},
        "passed": not uncaught
        and abs(growth) <= GROWTH
        and not faults["files spoilt"]
        and summary.ended == "end",
        "machine": host(),
        "versions": versions(),
    }


def watched(results: Iterable[Result], memory: Memory, seconds: float) -> Iterator[Result]:
    """The results, for so long after the first `SETTLED` of them; the memory is sampled from there on."""
    end = math.inf
    for count, result in enumerate(results):
        if count == SETTLED:
            memory.start()
            end = time.monotonic() + seconds
        yield result
        if time.monotonic() >= end:
            return


@contextlib.contextmanager
def uncaught_exceptions() -> Iterator[list[str]]:
    """What threads and finalizers raise within the block, and nobody catches."""
    found: list[str] = []
    before = threading.excepthook, sys.unraisablehook
    threading.excepthook = lambda hook: found.append(repr(hook.exc_value))
    sys.unraisablehook = lambda hook: found.append(repr(hook.exc_value))
    try:
        yield found
    finally:
        threading.excepthook, sys.unraisablehook = before


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--pace", type=float, default=0.001, help="seconds that the camera sleeps between frames"
    )
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    arguments = parser.parse_args()
    text = json.dumps(soak(arguments.minutes, arguments.seed, arguments.pace), indent=1)
    print(text)
    if arguments.out:
        with replacing(arguments.out) as file:
            file.write(text.encode())
    sys.exit(0 if json.loads(text)["passed"] else 1)


if __name__ == "__main__":
    main()

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
import errno
import gc
import json
import math
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.benchmarks.environment import host, versions
from coke_edge.detector import Detector
from coke_edge.draw import draw
from coke_edge.errors import StreamError
from coke_edge.files import replacing
from coke_edge.geometry import Affine
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import InputSpec, Keypoints2D, ModelSpec, VisibilitySpec
from coke_edge.stream.camera import Image, Shot
from coke_edge.stream.delivery import LiveDelivery
from coke_edge.stream.frame import Result, Sink
from coke_edge.stream.live_source import LiveSource
from coke_edge.stream.run import detect, run
from coke_edge.stream.sinks import open_sink
from coke_edge.stream.smoothing import OneEuro
from coke_edge.stream.sources import open_source
from coke_edge.stream.supervised_sink import Patience

SIZES = ((640, 480), (320, 240), (641, 361))
KEYPOINTS = 8
GRID = 12, 8  # cells of a map
GROWTH = 0.02  # of resident memory, from the first to the last fifth
SETTLED = 4_000  # frames, after which the allocator has found its size
PATIENCE = Patience(first=0.05, longest=0.5, steady=0.5)
BREAK, DAMAGE, THROW = (
    0.002,
    0.01,
    0.003,
)  # how likely a frame ends the connection, is damaged, meets a bad sink

SPEC = ModelSpec(
    keypoints=Keypoints2D(tuple(f"k{i}" for i in range(KEYPOINTS)), ((0, 1), (1, 2), (2, 3))),
    input=InputSpec(96, 64, 1.25, (0, 0, 0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    stride=8,
    head=HeadSpec("similarity", 0.07, 0.5),
    visibility=VisibilitySpec(20.0, 0.0, 0.0, (-10.0,) * KEYPOINTS),
)


class RandomPeaks:
    """A backend that finds everything somewhere."""

    name = "random"

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Peaks:
        """See `Backend`."""
        shape = (len(crops), KEYPOINTS, 1)
        index = self._rng.integers(0, GRID[0] * GRID[1], shape, dtype=np.int32)
        similarity = self._rng.random(shape, dtype=np.float32)
        near = self._rng.random((*shape, 3, 3), dtype=np.float32)
        clutter = self._rng.random(shape, dtype=np.float32)
        return Peaks(index, similarity, clutter, clutter, near)


class FaultyCamera:
    """Random pictures of one size; now and then damaged, and after a while the connection breaks."""

    def __init__(self, rng: random.Random, faults: Counter[str], pace: float) -> None:
        if rng.random() < 0.2 and faults["connections"] > 0:
            faults["refused"] += 1
            raise StreamError("nobody answers")
        faults["connections"] += 1
        self._rng, self._faults, self._pace = rng, faults, pace
        width, height = rng.choice(SIZES)
        self._picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)

    def read(self) -> Shot | None:
        """See `Camera`."""
        time.sleep(self._pace)
        if self._rng.random() < BREAK:
            self._faults["broken"] += 1
            if self._rng.random() < 0.5:
                return None
            raise StreamError("the plug was pulled")
        if self._rng.random() < DAMAGE:
            self._faults["damaged"] += 1
            return lambda: None
        return self._shot

    def _shot(self) -> Image:
        return np.array(self._picture)

    def interrupt(self) -> None:
        """It never waits for long."""

    def close(self) -> None:
        """Nothing is held."""


class FaultySink:
    """A sink that fails at random. What it finished is read again and deleted."""

    def __init__(
        self, inner: Sink, rng: random.Random, faults: Counter[str], check: Callable[[Path], bool]
    ) -> None:
        self._inner, self._rng, self._faults, self._check = inner, rng, faults, check
        self.backlog = inner.backlog  # type: ignore[attr-defined]
        self.pixels = inner.pixels  # type: ignore[attr-defined]
        self.written: list[str] = []

    def __call__(self, result: Result) -> None:
        if self._rng.random() < THROW:
            self._faults["sink failures"] += 1
            raise self._rng.choice(
                [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("odd"), StreamError("full")]
            )
        self._inner(result)

    def __enter__(self) -> FaultySink:
        self._inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._inner.__exit__(*error)
        for path in map(Path, self._inner.written):
            self._faults["files read again" if self._check(path) else "files spoilt"] += 1
            path.unlink()


def lines_parse(path: Path) -> bool:
    """Whether each line is a JSON object with increasing index."""
    with path.open() as file:
        indices = [json.loads(line)["index"] for line in file]
    return indices == sorted(set(indices))


def list_parses(path: Path) -> bool:
    """Whether the file is a JSON list."""
    return isinstance(json.loads(path.read_text()), list)


def video_plays(path: Path) -> bool:
    """Whether there is a frame in it."""
    return any(True for _ in open_source(str(path)))


def sinks(folder: Path, seed: int, faults: Counter[str]) -> dict[str, Callable[[], Sink]]:
    """What opens each sink of the run."""

    def paint(result: Result) -> NDArray[np.uint8]:
        image = result.frame.image
        for keypoints in result.objects:
            image = draw(image, keypoints)
        return image

    def faulty(name: str, check: Callable[[Path], bool], rng: random.Random) -> Sink:
        return FaultySink(open_sink(str(folder / name), paint, None, live=True), rng, faults, check)

    def slow(rng: random.Random, result: Result) -> None:
        time.sleep(rng.expovariate(20))

    files = {
        "lines.jsonl": lines_parse,
        "table.csv": lambda path: path.stat().st_size > 0,
        "coco.json": list_parses,
        "video.mp4": video_plays,
        "latest.jpg": lambda path: any(True for _ in open_source(str(path))),
    }
    found: dict[str, Callable[[], Sink]] = {
        name: partial(faulty, name, check, random.Random(f"{seed}{name}")) for name, check in files.items()
    }
    found["slow"] = partial(open_sink, partial(slow, random.Random(seed)), paint)
    found["udp"] = partial(open_sink, "udp://127.0.0.1:9", paint)
    return found


class Memory(threading.Thread):
    """Samples this process's resident memory."""

    def __init__(self, every: float) -> None:
        super().__init__(name="memory", daemon=True)
        self.samples: list[int] = []  # bytes
        self._every = every
        self._over = threading.Event()

    def run(self) -> None:
        """The thread's work."""
        while not self._over.wait(self._every):
            self.samples.append(resident())

    def stop(self) -> list[int]:
        """The samples."""
        self._over.set()
        if self.is_alive():
            self.join()
        return self.samples


def resident() -> int:
    """This process's resident memory in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


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


def soak(minutes: float, seed: int, pace: float) -> dict[str, Any]:
    """The run, and what came of it."""
    faults: Counter[str] = Counter()
    source = LiveSource("soak", partial(FaultyCamera, random.Random(seed), faults, pace))
    detector = Detector.from_backend(SPEC, RandomPeaks(np.random.default_rng(seed)))
    memory = Memory(every=minutes * 60 / 300)
    gc.collect()
    with tempfile.TemporaryDirectory() as folder, uncaught_exceptions() as uncaught:
        outputs = LiveDelivery(sinks(Path(folder), seed, faults), PATIENCE)
        results = detect(detector, source, "track", OneEuro(), max_age=1.0)
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

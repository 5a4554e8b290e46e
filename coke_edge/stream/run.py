"""A source through the detector into the sinks, until it ends or is told to stop."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from coke_edge.detector import Detector
from coke_edge.stream.frame import Frame, Result, Sink

REMEMBERED = 10_000  # latencies; a run may last for weeks

Ending = Literal["end", "frames", "duration", "interrupt"]


@dataclasses.dataclass(frozen=True)
class Summary:
    """How a run went."""

    frames: int
    seconds: float  # wall clock, reading and writing included
    ended: Ending  # the source's end, a limit, or Ctrl-C and SIGTERM
    latency_ms: dict[str, float]  # median, p95, max of the last 10,000 frames; see `Result.latency`
    last: Result | None


def detect(
    detector: Detector, source: Iterable[Frame], boxes: Sequence[ArrayLike | None] = (None,)
) -> Iterator[Result]:
    """The result of every frame of a source; `boxes` are the regions to search, None for the whole frame."""
    for frame in source:
        start = time.perf_counter()
        objects = tuple(detector.batch(frame.image, boxes))
        yield Result(frame, objects, time.perf_counter() - start)


def run(
    results: Iterable[Result],
    sinks: Sequence[Sink],
    frames: int | None = None,
    duration: float | None = None,
) -> Summary:
    """Give every result to every sink, until the end, a limit (`duration` in seconds), Ctrl-C or SIGTERM.

    A first signal ends the run after the frame at hand, with all sinks finished; a second one is as usual.
    """
    latencies: deque[float] = deque(maxlen=REMEMBERED)
    count, start = 0, time.perf_counter()
    last: Result | None = None
    ended: Ending = "end"
    with contextlib.ExitStack() as stack:
        stopped = stack.enter_context(stop_on_signal())
        for sink in sinks:
            stack.enter_context(sink)
        for last in results:
            for sink in sinks:
                sink(last)
            count += 1
            latencies.append(last.latency * 1000)
            if stopped.is_set():
                ended = "interrupt"
            elif count == frames:
                ended = "frames"
            elif duration is not None and time.perf_counter() - start >= duration:
                ended = "duration"
            else:
                continue
            break
    return Summary(count, time.perf_counter() - start, ended, statistics(latencies), last)


def statistics(milliseconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum; empty if there is nothing."""
    if not milliseconds:
        return {}
    median, p95, most = np.percentile(milliseconds, [50, 95, 100])
    return {"median": float(median), "p95": float(p95), "max": float(most)}


@contextlib.contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets, once. Other threads than the main one get no signals."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()
        restore()

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        restore()

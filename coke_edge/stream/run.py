"""A source through the detector into the sinks, until it ends or is told to stop."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType
from typing import Literal

import numpy as np

from coke_edge.detector import Detector
from coke_edge.stream.frame import Frame, Result, Sink
from coke_edge.stream.region import FRAME, RegionLike, open_region
from coke_edge.stream.smoothing import OneEuro, Smoother

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
    age_ms: dict[str, float]  # the same of `Result.age`; empty for files
    dropped: int  # frames of a live source that were not detected on: too many, damaged or too old


def detect(
    detector: Detector,
    source: Iterable[Frame],
    region: RegionLike = FRAME,
    smoothing: OneEuro | None = None,
    max_age: float | None = None,
) -> Iterator[Result]:
    """The results of a source's frames, one by one.

    `region` is "frame", "track", boxes, a function from a frame to boxes, the path of an ONNX detector, or a `Region`.
    `smoothing` needs the frames' times and leaves pictures, which have none, as they are.

    A live frame that has waited for longer than `max_age` seconds is not detected on; `Frame.dropped` of the results
    after it counts it. So results are at most `max_age` and one detection old.
    """
    region, smoother = open_region(region), Smoother(smoothing) if smoothing is not None else None
    stale = 0
    for frame in source:
        if is_stale(frame, max_age):
            stale += 1
            continue
        start = time.perf_counter()
        seen = region.take(detector.batch(frame.image, region.boxes(frame.image)))
        objects = smoother(seen, frame.time) if smoother else tuple(keypoints for _, keypoints in seen)
        latency = time.perf_counter() - start
        yield Result(dataclasses.replace(frame, dropped=frame.dropped + stale), objects, latency)


def is_stale(frame: Frame, max_age: float | None) -> bool:
    """Whether a live frame has waited for too long; frames of files never have."""
    if max_age is None or frame.captured is None:
        return False
    return time.monotonic() - frame.captured > max_age


def run(
    results: Iterable[Result],
    sinks: Sequence[Sink],
    frames: int | None = None,
    duration: float | None = None,
    stop: Callable[[], None] | None = None,
) -> Summary:
    """Give every result to every sink, until the end, a limit (`duration` in seconds), Ctrl-C or SIGTERM.

    A first signal ends the run after the frame at hand, with all sinks finished; a second one is as usual. With
    `stop`, which is `Source.stop`, a signal or the end of `duration` does not wait for another frame.
    """
    latencies: deque[float] = deque(maxlen=REMEMBERED)
    ages: deque[float] = deque(maxlen=REMEMBERED)
    count, start = 0, time.perf_counter()
    last: Result | None = None
    with contextlib.ExitStack() as stack:
        stopped = stack.enter_context(stop_on_signal(stop))
        expired = stack.enter_context(set_after(duration, stop))
        for sink in sinks:
            stack.enter_context(sink)
        for last in results:
            for sink in sinks:
                sink(last)
            count += 1
            latencies.append(last.latency * 1000)
            if last.age is not None:
                ages.append(last.age * 1000)
            if stopped.is_set() or count == frames or expired.is_set():
                break
    ended: Ending = "end"
    if stopped.is_set():
        ended = "interrupt"
    elif count == frames:
        ended = "frames"
    elif expired.is_set():
        ended = "duration"
    dropped = 0 if last is None else last.frame.dropped
    seconds = time.perf_counter() - start
    return Summary(count, seconds, ended, statistics(latencies), last, statistics(ages), dropped)


def statistics(milliseconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum; empty if there is nothing."""
    if not milliseconds:
        return {}
    median, p95, most = np.percentile(milliseconds, [50, 95, 100])
    return {"median": float(median), "p95": float(p95), "max": float(most)}


@contextlib.contextmanager
def set_after(seconds: float | None, then: Callable[[], None] | None = None) -> Iterator[threading.Event]:
    """An event that is set when so many seconds are over, if any are given; `then` is called after that."""
    expired = threading.Event()
    if seconds is None:
        yield expired
        return

    def expire() -> None:
        expired.set()
        if then is not None:
            then()

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


@contextlib.contextmanager
def stop_on_signal(then: Callable[[], None] | None = None) -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets, once; `then` is called after that.

    Other threads than the main one get no signals.
    """
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
        if then is not None:
            then()

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        restore()

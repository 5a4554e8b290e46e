"""The two ways to run: as fast as it goes, and as a camera's frames come."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from coke_edge.benchmarks.bench.lane import Lane, Sample

LEAD_IN = 3  # calls at the start of a stretch that do not count: caches and clocks after another row's turn
PACED_LEAD_IN = 0.5  # seconds of a paced stretch that do not count: until clocks are as low as between frames


def back_to_back(
    lane: Lane, seconds: float, least: int, clock: Callable[[], float] = time.perf_counter
) -> list[Sample]:
    """Calls one after the other for so many seconds, and at least so many."""
    for _ in range(LEAD_IN):
        lane.call()
    samples: list[Sample] = []
    start = clock()
    while len(samples) < least or clock() - start < seconds:
        samples.append(lane.call())
    lane.tally.seconds += clock() - start
    return samples


def paced(
    lane: Lane,
    fps: float,
    seconds: float,
    least: int,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Sample]:
    """A frame every 1/`fps` seconds, for so many seconds and at least so many samples.

    A frame that comes while the one before is not done waits; if a newer one comes before its turn, that replaces it.
    Both are late, and latency runs from the moment a frame was due.
    """
    period = 1 / fps
    first = clock() + period
    lead_in = math.ceil(PACED_LEAD_IN * fps)
    counted_from = first + lead_in * period
    samples: list[Sample] = []
    index = 0
    while len(samples) < least or clock() - counted_from < seconds:
        newest = int((clock() - first) / period) if clock() >= first else -1
        counts = index >= lead_in
        if newest >= index:
            if counts:
                lane.tally.late += newest - index + 1
                lane.tally.dropped += newest - index
            index = newest
        due = first + index * period
        if (ahead := due - clock()) > 0:
            sleep(ahead)
        sample = lane.call(due)
        if counts:
            samples.append(sample)
        index += 1
    lane.tally.seconds += max(clock(), first + index * period) - counted_from  # until the next frame
    return samples

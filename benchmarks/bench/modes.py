"""The two ways to run: as fast as it goes, and as a camera's frames come."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from coke_edge.benchmarks.bench.lane import Lane, Sample

LEAD_IN = 3  # calls at the start of a stretch that do not count: caches and clocks after another row's turn
PACED_LEAD_IN = 0.5  # seconds of a paced stretch that do not count: until clocks are as low as between frames
# Seconds of a paced row that count, together, unless `--seconds` is more: at few frames a second, or with a slow model,
# its stretches end then, with fewer samples than those of others.
PACED_MOST = 60.0


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


def alternating(
    lanes: Sequence[Lane], seconds: float, least: int, clock: Callable[[], float] = time.perf_counter
) -> list[list[Sample]]:
    """A call of each lane in turn, every other time backwards, for so many seconds and at least so many calls of
    each; the samples of each lane.

    To compare models: moods of the machine last for far longer than a call, so that all lanes feel the same.
    """
    for lane in lanes:
        for _ in range(LEAD_IN):
            lane.call()
    samples: dict[Lane, list[Sample]] = {lane: [] for lane in lanes}
    start = clock()
    turn = 0
    while turn < least or clock() - start < seconds * len(lanes):
        for lane in lanes if turn % 2 == 0 else reversed(lanes):
            begun = clock()
            samples[lane].append(lane.call())
            lane.tally.seconds += clock() - begun
        turn += 1
    return list(samples.values())


def paced(
    lane: Lane,
    fps: float,
    seconds: float,
    least: int,
    most: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Sample]:
    """A frame every 1/`fps` seconds, for so many seconds and at least so many samples; after `most` seconds
    one sample is enough.

    A frame that comes while the one before is not done waits; if a newer one comes before its turn, that replaces it.
    Both are late, and latency runs from the moment a frame was due.
    """
    period = 1 / fps
    first = clock() + period
    lead_in = math.ceil(PACED_LEAD_IN * fps)
    counted_from = first + lead_in * period
    samples: list[Sample] = []
    index = 0
    while goes_on(len(samples), clock() - counted_from, seconds, least, most):
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


def goes_on(samples: int, elapsed: float, seconds: float, least: int, most: float) -> bool:
    """Whether a paced stretch that has so many samples after so many seconds takes another."""
    if elapsed >= most and samples:
        return False
    return samples < least or elapsed < seconds

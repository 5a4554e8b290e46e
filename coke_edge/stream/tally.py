"""The figures of a run that is still going."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from coke_edge.stream.frame import Result
from coke_edge.stream.run import REMEMBERED, statistics


class Tally:
    """Counts results as they pass; the figures may be asked for at any time, from any thread."""

    def __init__(self) -> None:
        self.frames = 0
        self.dropped = 0
        self._start = time.monotonic()
        self._ages: deque[float] = deque(maxlen=REMEMBERED)
        self._latencies: deque[float] = deque(maxlen=REMEMBERED)

    def through(self, results: Iterable[Result], over: threading.Event) -> Iterator[Result]:
        """The results, each counted when it has been dealt with, until `over` is set."""
        for result in results:
            yield result
            self._latencies.append(result.latency * 1000)
            if result.age is not None:
                self._ages.append(result.age * 1000)
            self.dropped = result.frame.dropped
            self.frames += 1
            if over.is_set():
                break

    def figures(self) -> dict[str, Any]:
        """Frames, seconds, frames dropped, and median, p95 and max of latency and age in ms, as plain data."""
        return {
            "frames": self.frames,
            "seconds": time.monotonic() - self._start,
            "dropped": self.dropped,
            "latency_ms": statistics(self._latencies.copy()),
            "age_ms": statistics(self._ages.copy()),
        }

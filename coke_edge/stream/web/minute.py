"""Latencies of the last minute, second by second."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np

SECONDS = 60
RATE_OVER = 5  # seconds
PERCENTILES = (50, 95, 99)


class Minute:
    """What was measured in each of the last 60 full seconds. One thread adds and others ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: deque[tuple[int, list[float]]] = deque(maxlen=SECONDS + 1)  # the last one is under way

    def add(self, now: float, milliseconds: float) -> None:
        """Take a latency that was measured at `now`, in seconds of a clock that never goes back."""
        with self._lock:
            if not self._seconds or self._seconds[-1][0] != int(now):
                self._seconds.append((int(now), []))
            self._seconds[-1][1].append(milliseconds)

    def report(self, now: float) -> dict[str, Any]:
        """Plain data: `seconds`, oldest first, [p50, p95, p99] in ms or None where no frame came; `minute`, the
        same over all of them; `rate`, frames per second over the last five full seconds, None in the first one.
        """
        with self._lock:
            measured = {second: list(values) for second, values in self._seconds}
        first = min(measured, default=int(now))
        window = [measured.get(second, []) for second in range(int(now) - SECONDS, int(now))]
        recent = window[-min(RATE_OVER, int(now) - first) :] if int(now) > first else []
        return {
            "seconds": [percentiles(values) for values in window],
            "minute": percentiles([value for values in window for value in values]),
            "rate": sum(map(len, recent)) / len(recent) if recent else None,
        }


def percentiles(values: list[float]) -> list[float] | None:
    """The 50th, 95th and 99th percentile; None of nothing."""
    return [round(float(value), 3) for value in np.percentile(values, PERCENTILES)] if values else None

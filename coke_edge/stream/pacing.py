"""Frames that come when they like, in a video whose frames come at a constant rate."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

SLOWEST, FASTEST = 1.0, 60.0  # frames per second of a video
LONGEST_GAP = 2.0  # seconds that a picture stands still at most; a longer gap is cut out


def measured_rate(times: Sequence[float], default: float) -> float:
    """Frames per second of a video for frames that were taken at these `times` (seconds)."""
    gaps = [later - earlier for earlier, later in pairwise(times) if later > earlier]
    return min(max(1 / median(gaps), SLOWEST), FASTEST) if gaps else default


class Pacer:
    """How often each frame is written so that a video of `rate` frames per second plays in real time."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._start: float | None = None  # the time that stands at the video's start
        self._written = 0
        self._last = 0.0

    def copies(self, time: float) -> int:
        """How often the frame of `time` (seconds, rising) comes: 0 if its place is taken, more where some lack."""
        if self._start is None:
            self._start = time
        elif (gap := time - self._last) > LONGEST_GAP:
            self._start += gap - LONGEST_GAP
        self._last = time
        place = round((time - self._start) * self._rate)
        copies = max(0, place + 1 - self._written)
        self._written += copies
        return copies

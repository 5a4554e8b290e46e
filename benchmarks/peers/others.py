"""How much of the machine other processes took meanwhile: a race on a busy machine shows it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

STAT = Path("/proc/stat")
NAME, UNIT = "load of other processes", "% of a core"
BUSY = 5.0  # % of a core, more than which a row mentions


def others_seconds(stat: str, own: float, hertz: int) -> float:
    """CPU seconds of all processes but this one since the machine started, from the text of /proc/stat."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, stat.split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / hertz - own


class Others:
    """From its making to `share`."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._start, self._busy = clock(), self._read()

    def share(self) -> float | None:
        """What others took, in percent of a core; None where the system does not tell."""
        busy, seconds = self._read(), self._clock() - self._start
        if busy is None or self._busy is None or seconds <= 0:
            return None
        return max(0.0, 100 * (busy - self._busy) / seconds)

    def _read(self) -> float | None:
        own = os.times()
        try:
            return others_seconds(STAT.read_text(), own.user + own.system, os.sysconf("SC_CLK_TCK"))
        except (OSError, ValueError):
            return None

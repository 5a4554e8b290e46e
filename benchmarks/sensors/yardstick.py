"""How fast the machine itself was: fixed pieces of work, timed beside what is measured.

A virtual machine's neighbours, a processor's temperature and the pages that memory is cut into make everything slower
for minutes at a time, with nothing to be seen in clocks or load. Then two runs of the same thing differ, and so do
their yardsticks. There are two, since networks follow the speed of arithmetic, and what is around them that of memory.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

ARITHMETIC, MEMORY = "yardstick: arithmetic", "yardstick: memory"
REPEATS = 25  # the median of so many is one value
SIDE, PRODUCTS = 64, 8  # small matrices: libraries multiply them in one thread
FRAME, TABLE, READS = 480 * 640 * 3, 1 << 18, 1 << 15


class Yardstick:
    """The pieces of work with their memory; each takes some tenths of a millisecond, in one thread."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        random = np.random.default_rng(0)
        self._clock = clock
        self._matrix = random.random((SIDE, SIDE), dtype=np.float32) / SIDE
        self._frame = np.zeros(FRAME, np.uint8)
        self._table = np.arange(TABLE)
        self._places = random.integers(0, TABLE, READS)
        self._work = {ARITHMETIC: self._multiply, MEMORY: self._move}

    def __call__(self) -> dict[str, float]:
        """Milliseconds that each takes now."""
        return {
            name: statistics.median(self._time(work) for _ in range(REPEATS))
            for name, work in self._work.items()
        }

    def _time(self, work: Callable[[], object]) -> float:
        start = self._clock()
        work()
        return 1e3 * (self._clock() - start)

    def _multiply(self) -> None:
        product = self._matrix
        for _ in range(PRODUCTS):
            product = product @ self._matrix

    def _move(self) -> None:
        self._frame.copy()
        self._table[self._places].sum()

"""How fast the machine itself was: a fixed piece of work, timed beside what is measured.

A virtual machine's neighbours and a processor's temperature make everything slower for minutes at a time, with nothing
to be seen in clocks or load. Then two runs of the same thing differ, and so do their yardsticks.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

ARITHMETIC = "yardstick: arithmetic"
REPEATS = 25  # the median of so many is one value
SIDE, PRODUCTS = 64, 8  # small matrices: libraries multiply them in one thread


class Yardstick:
    """The piece of work with its memory: about a tenth of a millisecond, in one thread."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._matrix = np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32) / SIDE

    def __call__(self) -> float:
        """Milliseconds that it takes now."""
        return statistics.median(self._time() for _ in range(REPEATS))

    def _time(self) -> float:
        start = self._clock()
        product = self._matrix
        for _ in range(PRODUCTS):
            product = product @ self._matrix
        return 1e3 * (self._clock() - start)

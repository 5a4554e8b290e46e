"""How long to wait before the next attempt to reach a camera, or to open a sink."""

from __future__ import annotations

import random
from collections.abc import Iterator

FIRST = 0.5  # seconds
LAST = 30.0


def delays(first: float | None = None, last: float | None = None) -> Iterator[float]:
    """Seconds to wait, without end: the bound doubles from `first` to `last`, the wait is drawn from its upper half.

    The draw keeps a hundred devices from asking a camera server that has just come back all at once.
    """
    bound, largest = FIRST if first is None else first, LAST if last is None else last
    while True:
        yield random.uniform(bound / 2, bound)
        bound = min(2 * bound, largest)

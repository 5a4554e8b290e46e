"""How long to wait before the next attempt to reach a camera."""

from __future__ import annotations

import random
from collections.abc import Iterator

FIRST = 0.5  # seconds
LAST = 30.0


def delays() -> Iterator[float]:
    """Seconds to wait, without end: the bound doubles from 0.5 to 30, the wait is drawn from its upper half.

    The draw keeps a hundred devices from asking a camera server that has just come back all at once.
    """
    bound = FIRST
    while True:
        yield random.uniform(bound / 2, bound)
        bound = min(2 * bound, LAST)

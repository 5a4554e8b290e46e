"""Several implementations timed side by side: round by round, so that a noisy machine disturbs all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Call = Callable[[], object]
Sampler = Callable[[], float]  # milliseconds of one call

LEAST_ROUNDS = 5


def interleave(
    samplers: Mapping[str, Sampler],
    rounds: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Samples in milliseconds by name, one of each in every round.

    Ends after `rounds` rounds, or after `seconds` if there were LEAST_ROUNDS (or `rounds`) of them by then.
    """
    samples: dict[str, list[float]] = {name: [] for name in samplers}
    start = clock()
    for number in range(rounds):
        if number >= LEAST_ROUNDS and clock() - start > seconds:
            break
        for name, sampler in samplers.items():
            samples[name].append(sampler())
    return samples


def summary(samples: Sequence[float]) -> dict[str, float | int]:
    """Median, best and the middle half of some milliseconds."""
    ordered = sorted(samples)
    quarter = len(ordered) // 4
    return {
        "median_ms": statistics.median(ordered),
        "least_ms": ordered[0],
        "quarter_ms": ordered[quarter],
        "three_quarters_ms": ordered[-1 - quarter],
        "samples": len(ordered),
    }

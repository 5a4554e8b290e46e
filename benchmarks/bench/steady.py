"""When a warm-up is over: once successive windows of calls take the same time, or when patience ends.

A fixed count is too short for a GPU whose clocks rise for seconds and too long for a small network on a CPU.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Rule:
    """Steady: the medians of the last `windows` windows lie within `tolerance` of each other.

    A window is at least `calls` calls and at least `seconds` long: clocks take their time, however short a call is.
    """

    calls: int = 10
    seconds: float = 0.25
    windows: int = 3
    tolerance: float = 0.05  # (largest − smallest) / smallest
    most_seconds: float = 10.0  # then it is measured as it is, and said so

    def words(self) -> str:
        """The rule as a sentence, for the protocol."""
        return (
            f"warm-up runs back to back and ends when the medians of the last {self.windows} windows, of {self.calls} "
            f"calls and {self.seconds:g} s at least, lie within {100 * self.tolerance:g} % of each other, and after "
            f"{self.most_seconds:g} s, but no less than as many calls, at the latest: then the row counts as not steady"
        )

    def thresholds(self) -> dict[str, float]:
        """The numbers in it."""
        return {name: float(value) for name, value in dataclasses.asdict(self).items()}


@dataclasses.dataclass(frozen=True)
class WarmUp:
    """What a warm-up took, and whether it ended as it should."""

    samples: tuple[float, ...]  # milliseconds
    seconds: float
    steady: bool

    def to_row(self) -> dict[str, float]:
        """As a row of a result has it."""
        return {"calls": float(len(self.samples)), "seconds": self.seconds, "steady": float(self.steady)}


def warm_up(call: Callable[[], float], rule: Rule, clock: Callable[[], float] = time.perf_counter) -> WarmUp:
    """Make calls, each of which gives its milliseconds, until they are steady by the rule or its time is over."""
    start, samples, medians = clock(), list[float](), list[float]()
    while True:
        opened, first = clock(), len(samples)
        while len(samples) - first < rule.calls or clock() - opened < rule.seconds:
            samples.append(call())
            if clock() - start >= rule.most_seconds and len(samples) > rule.calls * rule.windows:
                return WarmUp(tuple(samples), clock() - start, steady=False)
        medians.append(float(np.median(samples[first:])))
        if is_steady(medians, rule):
            return WarmUp(tuple(samples), clock() - start, steady=True)


def is_steady(medians: Sequence[float], rule: Rule) -> bool:
    """Whether the last windows, of which these are the medians, agree."""
    last = medians[-rule.windows :]
    return len(last) == rule.windows and max(last) - min(last) <= rule.tolerance * min(last)

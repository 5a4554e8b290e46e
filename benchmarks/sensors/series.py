"""What one sensor said over a stretch of time, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from coke_edge.benchmarks.bench.result import Reading
from coke_edge.benchmarks.sensors.channel import UnreadableError


class Series:
    """Values of one channel by their moments in seconds; a moment without an answer leaves a gap."""

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read
        self.times: list[float] = []
        self.values: list[float] = []
        self._moments: list[float] = []
        self._reason = "was not asked"

    def sample(self, moment: float) -> None:
        """Ask once; never raises for a sensor that does not answer, or not with a number."""
        self._moments.append(moment)
        try:
            value = self._read()
        except UnreadableError as error:
            self._reason = str(error)
            return
        if not math.isfinite(value):
            self._reason = "gave no number"
            return
        self.times.append(moment)
        self.values.append(value)

    def hold_ends(self) -> None:
        """Give the first and the last moment what their neighbours said: they lie before and after the work itself."""
        if len(self.values) > 2:
            self.values[0], self.values[-1] = self.values[1], self.values[-2]

    def reading(self, unit: str) -> Reading:
        """Of a gauge. Raises UnreadableError if it never answered."""
        return of(unit, self.answers())

    def answers(self) -> list[float]:
        """All values. Raises UnreadableError if there are none."""
        if not self.values:
            raise UnreadableError(self._reason)
        return self.values

    def whole(self) -> None:
        """Raises UnreadableError unless there are answers at the beginning and at the end, at two moments at least."""
        self.answers()
        if self.times[0] != self._moments[0] or self.times[-1] != self._moments[-1]:
            raise UnreadableError(f"did not answer all the time: {self._reason}")
        if self.times[-1] <= self.times[0]:
            raise UnreadableError("the stretch was too short")

    def integral(self) -> float:
        """J of a power in W, by the trapezoidal rule over gaps too. Raises UnreadableError unless it is whole."""
        self.whole()
        steps = zip(pairwise(self.times), pairwise(self.values), strict=True)
        return sum((t1 - t0) * (v0 + v1) / 2 for (t0, t1), (v0, v1) in steps)

    def increase(self) -> float:
        """Of a counter, from the beginning to the end. Raises UnreadableError unless it is whole and never falls."""
        self.whole()
        if any(later < earlier for earlier, later in pairwise(self.values)):
            raise UnreadableError("its counter went backwards")
        return self.values[-1] - self.values[0]

    def power(self) -> Reading:
        """W of a counter of J. Raises UnreadableError as `increase`."""
        self.increase()
        return self.rate("W")

    def rate(self, unit: str) -> Reading:
        """What a counter adds in a second, between its answers. Raises UnreadableError unless it is whole."""
        self.whole()
        steps = zip(pairwise(self.times), pairwise(self.values), strict=True)
        found = [(v1 - v0) / (t1 - t0) for (t0, t1), (v0, v1) in steps if t1 > t0]
        mean = (self.values[-1] - self.values[0]) / (self.times[-1] - self.times[0])
        return Reading(unit=unit, mean=mean, least=min(found), most=max(found), count=len(found))


def of(unit: str, values: list[float]) -> Reading:
    """Of values that count alike."""
    return Reading(
        unit=unit, mean=sum(values) / len(values), least=min(values), most=max(values), count=len(values)
    )

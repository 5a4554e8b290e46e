"""The pieces of work between a frame and its peaks, and how long the GPU takes for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from coke_edge.kernels.driver import Driver


class Step(NamedTuple):
    """One piece of work on a stream."""

    stage: str  # its name in `backends.Staged`
    enqueue: Callable[[int], object]  # puts it on a stream, and returns at once


class Laps:
    """Events around the steps of a run: one before the first, one after each.

    In a recording they are nodes of the graph, so that the GPU's own time is told of the very launch that does the
    work. (Events around pieces of a graph, or a run without one, would tell of other launches: with the host's gaps
    between kernels, which a graph is there to take away.) A node costs the GPU about as much as an empty kernel; so
    recordings that are not timed have none.
    """

    def __init__(self, driver: Driver, stages: Sequence[str]) -> None:
        """For steps of these stages, in this order. Raises KernelError if CUDA gives no events."""
        self._stages = tuple(stages)
        self._events = [driver.event() for _ in range(len(self._stages) + 1)]

    def enqueue(self, steps: Sequence[Step], stream: int) -> None:
        """The steps, with the events, on the stream; returns at once."""
        self._events[0].record(stream)
        for step, after in zip(steps, self._events[1:], strict=True):
            step.enqueue(stream)
            after.record(stream)

    def milliseconds(self) -> dict[str, float]:
        """By stage, of the last run; waits for its end. Steps of the same stage are added up."""
        found = dict.fromkeys(self._stages, 0.0)
        for stage, before, after in zip(self._stages, self._events, self._events[1:], strict=False):
            found[stage] += after.milliseconds_since(before)
        return found

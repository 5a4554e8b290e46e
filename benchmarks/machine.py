"""Where a benchmark runs: how calls are timed there, what memory they take, and what the machine can do at best."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Protocol

from coke_edge.benchmarks.sizes import Size
from coke_edge.benchmarks.timing import Call, Sampler


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """What no implementation can beat, measured in the same run."""

    bandwidth: float  # bytes/s, read plus written, of a large copy
    peak: float  # FLOP/s of a large float16 matrix product
    launch_ms: float  # of one empty kernel in a graph of many
    two_launches_ms: float

    def roofline_ms(self, size: Size, element: int = 2) -> float:
        """The larger of bytes/bandwidth and FLOPs/peak."""
        return 1000 * max(size.bytes_moved(element) / self.bandwidth, size.flops / self.peak)

    def floor_ms(self, size: Size, element: int = 2) -> float:
        """The roofline, and the launch of the one kernel that the work needs at least."""
        return self.launch_ms + self.roofline_ms(size, element)


class Machine(Protocol):
    """A GPU, or the processor."""

    device: str  # of torch
    cache_bytes: int  # inputs are rotated until they exceed it

    def sampler(self, calls: Sequence[Call]) -> Sampler:
        """Milliseconds of one call, averaged over all of `calls` in their order; they have run once before."""
        ...

    def extra_memory(self, call: Call) -> int | None:
        """Bytes that a call takes at its peak beyond what was there before, results included; None if unknown."""
        ...

    def ceilings(self) -> Ceilings | None:
        """None where they cannot be measured."""
        ...


class Processor:
    """The CPU, timed by the host's clock."""

    device = "cpu"
    cache_bytes = 0

    def sampler(self, calls: Sequence[Call]) -> Sampler:
        for call in calls:
            call()

        def sample() -> float:
            start = time.perf_counter()
            for call in calls:
                call()
            return 1000 * (time.perf_counter() - start) / len(calls)

        return sample

    def extra_memory(self, call: Call) -> int | None:
        return None

    def ceilings(self) -> Ceilings | None:
        return None

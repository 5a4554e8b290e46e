"""An NVIDIA GPU as a place to measure at: CUDA graphs for time, torch's allocator for memory.

All calls of a sample are captured in one graph, one behind the other, each with inputs of its own: what is timed is
the GPU alone, and the inputs come from its memory rather than from its cache.
"""

# mypy: disable-error-code="no-untyped-call, untyped-decorator, no-untyped-def"

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
import triton

from coke_edge.benchmarks.machine import Ceilings
from coke_edge.benchmarks.timing import Call, Sampler

WARM_UPS = 3
COPY_BYTES = 1 << 30
MATRIX = 8192
EMPTY_KERNELS = 200
REPEATS = 20


@triton.jit
def nothing(pointer):
    """An empty kernel: what its launch costs, any kernel's launch costs."""


class CudaGpu:
    """The GPU that torch uses, alone with what is measured."""

    device = "cuda"

    def __init__(self) -> None:
        self.cache_bytes = torch.cuda.get_device_properties(0).L2_cache_size

    def sampler(self, calls: Sequence[Call]) -> Sampler:
        graph = captured(calls)
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        for _ in range(WARM_UPS):
            graph.replay()
        torch.cuda.synchronize()

        def sample() -> float:
            graph.replay()  # the GPU is busy while the host queues the rest: what that takes is not timed
            start.record()
            graph.replay()
            stop.record()
            stop.synchronize()
            return float(start.elapsed_time(stop)) / len(calls)

        return sample

    def extra_memory(self, call: Call) -> int | None:
        call()  # compiles, and lets libraries take their workspaces
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        # What was asked for: the bytes that the allocator hands out are rounded up to its blocks.
        before = torch.cuda.memory_stats()["requested_bytes.all.current"]
        result = call()
        torch.cuda.synchronize()
        peak = torch.cuda.memory_stats()["requested_bytes.all.peak"]
        del result
        return int(peak - before)

    def ceilings(self) -> Ceilings | None:
        source = torch.empty(COPY_BYTES // 4, device=self.device).normal_()
        target = torch.empty_like(source)
        copy = self.sampler([lambda: target.copy_(source)])
        a, b = (torch.randn(MATRIX, MATRIX, device=self.device, dtype=torch.float16) for _ in range(2))
        product = self.sampler([lambda: torch.mm(a, b)])
        word = torch.zeros(1, device=self.device)
        one = self.sampler([lambda: nothing[(1,)](word)] * EMPTY_KERNELS)
        two = self.sampler([lambda: (nothing[(1,)](word), nothing[(1,)](word))] * EMPTY_KERNELS)

        def median(sampler: Sampler) -> float:
            return statistics.median(sampler() for _ in range(REPEATS))

        return Ceilings(
            bandwidth=2 * COPY_BYTES / (median(copy) / 1000),
            peak=2 * MATRIX**3 / (median(product) / 1000),
            launch_ms=median(one),
            two_launches_ms=median(two),
        )


def captured(calls: Sequence[Call]) -> torch.cuda.CUDAGraph:
    """All calls in one graph, after a warm-up on a stream of its own, as torch asks for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for call in (calls[0], calls[0], *calls):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return graph

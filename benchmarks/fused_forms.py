"""The fused kernels as forms of the head, from torch: compiled at first use, or launched from binaries."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from coke_edge.benchmarks.forms import Inputs
from coke_edge.benchmarks.sizes import Size
from coke_edge.benchmarks.timing import Call, Sampler
from coke_edge.kernels import aot, fused
from coke_edge.kernels.driver import Driver, open_driver
from coke_edge.kernels.features import FeatureMaps
from coke_edge.kernels.gpu_head import GpuHead
from coke_edge.kernels.launch import Kernels
from coke_edge.kernels.targets import of_capability
from coke_edge.kernels.variants import match_name, peaks_name

WARM_UPS = 3


def jit(inputs: Inputs) -> Call:
    """Compiled by Triton at first use."""
    size, head = inputs.size, inputs.size.head
    banks = inputs.prototypes, inputs.clutter
    return lambda: fused.match(inputs.features, *banks, head, inputs.counts, size.soft)


class Launched:
    """The binaries through a driver package, as a device launches them: on a stream and in graphs of the driver's."""

    def __init__(self, driver: Driver, kernels: Kernels) -> None:
        self._driver, self._kernels = driver, kernels
        self._stream = driver.stream()

    def __call__(self, inputs: Inputs) -> Call:
        return LaunchedCall(self._driver, self._kernels, inputs, self._stream)

    def sampler(self, calls: Sequence[Call]) -> Sampler:
        """As a machine's: all calls in one graph, between two events."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # the features are there, and nothing else runs
        for call in calls:
            call()
        with self._driver.capture(self._stream) as graphs:
            for call in calls:
                call()
        timer, (graph,) = self._driver.timer(), graphs

        def sample() -> float:
            graph.launch(self._stream)  # not timed, as in gpu.py
            timer.start(self._stream)
            graph.launch(self._stream)
            timer.stop(self._stream)
            return timer.milliseconds() / len(calls)

        for _ in range(WARM_UPS):
            sample()
        return sample


class LaunchedCall:
    """One set of inputs. Its memory is not torch's, so it says itself how much it takes."""

    def __init__(self, driver: Driver, kernels: Kernels, inputs: Inputs, stream: int) -> None:
        size = inputs.size
        maps = FeatureMaps.dense("fp16", size.layout, size.channels, size.height, size.width)
        prototypes, clutter, counts = (
            t.float().cpu().numpy() for t in (inputs.prototypes, inputs.clutter, inputs.counts)
        )
        self._head = GpuHead(
            driver, kernels, size.head, maps, prototypes, clutter, counts,
            stream=stream, images=size.batch, soft=size.soft,
        )  # fmt: skip
        self._features, self._stream = inputs.features, stream
        self.extra_bytes = self._head.extra_memory

    def __call__(self) -> None:
        self._head.enqueue(self._features.data_ptr(), len(self._features), self._stream)


def built(size: Size) -> Launched:
    """Binaries for the GPU at hand and the channels of a size, built now, those loaded that the size needs.

    Raises KernelError if no driver package or no compiler is there.
    """
    driver = open_driver()
    with tempfile.TemporaryDirectory() as folder:
        aot.build([of_capability(driver.gpu.capability).name], Path(folder), size.channels)
        kernels = Kernels.of_folder(driver, Path(folder))
        for name in (match_name("fp16", size.layout, size.soft), peaks_name(size.soft)):
            kernels.kernel(name)  # while the folder is there
    return Launched(driver, kernels)

"""From a frame to peaks on one stream, recorded into CUDA graphs.

    crops (kernel or OpenCV) → engine → head (kernels, or inside the engine) → the peaks, a few hundred bytes

The first frame of a size, with a number of crops, runs as it is: TensorRT prepares itself then, which cannot be
recorded. The second is recorded, or a later one if TensorRT is not ready, and from then on one launch does it all. A
folder of pictures of all sizes therefore costs no recording; a camera's frames are recorded once. Where recording fails
every frame runs as it is, and a warning says so.

A run whose stages are timed goes the same way with a recording of its own: the same graph with events in it.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coke_edge.engine.context import Context, Engine
from coke_edge.engine.crops import Crops
from coke_edge.engine.heads import Head
from coke_edge.engine.network import IMAGE
from coke_edge.engine.steps import Laps, Step
from coke_edge.errors import BackendError
from coke_edge.geometry import Affine
from coke_edge.kernels.driver import Driver, Graph
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.targets import KernelError
from coke_edge.kernels.workspace import Workspace

RECORDINGS = 8  # kept; the one that was used longest ago goes first

logger = logging.getLogger(__name__)


class Key(NamedTuple):
    """What a recording depends on."""

    images: int
    staged: Hashable
    timed: bool


class Recording(NamedTuple):
    """What is kept for a key: that it was seen, its events if it is timed, and the graph once there is one."""

    graph: Graph | None = None
    laps: Laps | None = None


class Session:
    """An engine with what is before and after it. Not for two threads at once."""

    def __init__(self, driver: Driver, stream: int, engine: Engine, crops: Crops, head: Head) -> None:
        """Owns what it is given, and gives all of it back. Raises KernelError if there is no memory."""
        self._driver, self._stream, self._engine = driver, stream, engine
        self._crops, self._head = crops, head
        self._scratch = Workspace(driver, {"scratch": engine.memory})
        self._contexts: dict[int, Context] = {}  # by number of images
        self._address = crops.address  # of the crops, in those contexts
        self._recordings: OrderedDict[Key, Recording] = OrderedDict()
        self._records = True  # until recording fails

    def __call__(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Peaks:
        """Peaks of regions of a frame, at most as many as the engine takes.

        Raises BackendError or KernelError if the GPU refuses.
        """
        images = len(crops)
        self._run(Key(images, self._crops.stage(frame, crops), timed=False))
        return self._head.peaks(images)

    def stages(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> tuple[Peaks, dict[str, float]]:
        """What a call gives, and the milliseconds of its stages: the GPU's by its events, the host's before and after.

        What is in none of them is the launch, and waking up when the GPU is done. Raises as a call does.
        """
        images = len(crops)
        start = time.perf_counter()
        staged = self._crops.stage(frame, crops)
        parts = {self._crops.staging: 1e3 * (time.perf_counter() - start)}
        laps = self._run(Key(images, staged, timed=True))
        assert laps is not None
        start = time.perf_counter()
        peaks = self._head.peaks(images)
        unpacked = {"download": 1e3 * (time.perf_counter() - start)}
        for some in (laps.milliseconds(), unpacked):
            for stage, took in some.items():
                parts[stage] = parts.get(stage, 0.0) + took
        return peaks, parts

    def free(self) -> None:
        """Give the GPU's memory back; a second call does nothing."""
        for recording in self._recordings.values():
            if recording.graph:
                recording.graph.free()
        self._recordings.clear()
        self._contexts.clear()
        self._engine.free()
        self._crops.free()
        self._head.free()
        self._scratch.free()

    def _run(self, key: Key) -> Laps | None:
        """What was staged, to its end; the events of the run if it is timed."""
        seen = self._recordings.get(key)
        graph, laps = seen or Recording(laps=self._laps(key) if key.timed else None)
        if seen and graph is None and self._records:
            graph = self._record(key, laps)
        if graph is None:
            self._enqueue(key, laps)
        else:
            graph.launch(self._stream)
        self._driver.synchronize(self._stream)
        self._keep(key, Recording(graph, laps))
        return laps

    def _record(self, key: Key, laps: Laps | None) -> Graph | None:
        """Everything, as one launch; None if that cannot be, now or at all."""
        if not self._context(key.images).recordable(self._stream):
            return None
        try:
            with self._driver.capture(self._stream) as graphs:
                self._enqueue(key, laps)
        except (BackendError, KernelError) as error:
            self._records = False
            logger.warning("Frames run without a CUDA graph, which costs time: %s.", str(error))
            return None
        return graphs[0]

    def _enqueue(self, key: Key, laps: Laps | None) -> None:
        """Everything, on the stream."""
        steps = self._steps(key)
        if laps:
            laps.enqueue(steps, self._stream)
            return
        for step in steps:
            step.enqueue(self._stream)

    def _steps(self, key: Key) -> list[Step]:
        engine = Step(self._head.engine, self._context(key.images).enqueue)
        return [*self._crops.steps(key.staged), engine, *self._head.steps(key.images)]

    def _laps(self, key: Key) -> Laps:
        return Laps(self._driver, [step.stage for step in self._steps(key)])

    def _context(self, images: int) -> Context:
        if self._crops.address != self._address:
            self._contexts.clear()
            self._address = self._crops.address
        if images not in self._contexts:
            addresses = {IMAGE: self._address, **self._head.addresses}
            # TensorRT wants an address even where it needs no memory.
            scratch = self._scratch["scratch"] or self._address
            self._contexts[images] = self._engine.context(images, addresses, scratch)
        return self._contexts[images]

    def _keep(self, key: Key, recording: Recording) -> None:
        """Remember a recording, or that a key was seen, and forget the oldest."""
        self._recordings[key] = recording
        self._recordings.move_to_end(key)
        while len(self._recordings) > RECORDINGS:
            _, oldest = self._recordings.popitem(last=False)
            if oldest.graph:
                oldest.graph.free()

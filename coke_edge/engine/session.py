"""From a frame to peaks on one stream, recorded into CUDA graphs.

    crops (kernel or OpenCV) → engine → head (kernels, or inside the engine) → the peaks, a few hundred bytes

The first frame of a size, with a number of crops, runs as it is: TensorRT prepares itself then, which cannot be
recorded. The second is recorded, or a later one if TensorRT is not ready, and from then on one launch does it all. A
folder of pictures of all sizes therefore costs no recording; a camera's frames are recorded once. Where recording fails
every frame runs as it is, and a warning says so.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from coke_edge.engine.context import Context, Engine
from coke_edge.engine.crops import Crops
from coke_edge.engine.heads import Head
from coke_edge.engine.network import IMAGE
from coke_edge.errors import BackendError
from coke_edge.geometry import Affine
from coke_edge.kernels.driver import Driver, Graph
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.targets import KernelError
from coke_edge.kernels.workspace import Workspace

RECORDINGS = 8  # kept; the one that was used longest ago goes first

logger = logging.getLogger(__name__)


class Session:
    """An engine with what is before and after it. Not for two threads at once."""

    def __init__(self, driver: Driver, stream: int, engine: Engine, crops: Crops, head: Head) -> None:
        """Owns what it is given, and gives all of it back. Raises KernelError if there is no memory."""
        self._driver, self._stream, self._engine = driver, stream, engine
        self._crops, self._head = crops, head
        self._scratch = Workspace(driver, {"scratch": engine.memory})
        self._contexts: dict[int, Context] = {}  # by number of images
        self._address = crops.address  # of the crops, in those contexts
        self._recordings: OrderedDict[Hashable, Graph | None] = OrderedDict()  # None: seen once
        self._records = True  # until recording fails

    def __call__(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Peaks:
        """Peaks of regions of a frame, at most as many as the engine takes.

        Raises BackendError or KernelError if the GPU refuses.
        """
        images = len(crops)
        staged = self._crops.stage(frame, crops)
        key = (images, staged)
        recording = self._recordings.get(key)
        if recording is None and key in self._recordings and self._records:
            recording = self._record(staged, images)
        if recording is None:
            self._enqueue(staged, images)
        else:
            recording.launch(self._stream)
        self._driver.synchronize(self._stream)
        self._keep(key, recording)
        return self._head.peaks(images)

    def free(self) -> None:
        """Give the GPU's memory back; a second call does nothing."""
        for recording in self._recordings.values():
            if recording:
                recording.free()
        self._recordings.clear()
        self._contexts.clear()
        self._engine.free()
        self._crops.free()
        self._head.free()
        self._scratch.free()

    def _record(self, staged: Hashable, images: int) -> Graph | None:
        """Everything, as one launch; None if that cannot be, now or at all."""
        if not self._context(images).recordable(self._stream):
            return None
        try:
            with self._driver.capture(self._stream) as graphs:
                self._enqueue(staged, images)
        except (BackendError, KernelError) as error:
            self._records = False
            logger.warning("Frames run without a CUDA graph, which costs time: %s.", str(error))
            return None
        return graphs[0]

    def _enqueue(self, staged: Hashable, images: int) -> None:
        """Everything, on the stream."""
        self._crops.enqueue(staged, self._stream)
        self._context(images).enqueue(self._stream)
        self._head.enqueue(images, self._stream)

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

    def _keep(self, key: Hashable, recording: Graph | None) -> None:
        """Remember a recording, or that a key was seen, and forget the oldest."""
        self._recordings[key] = recording
        self._recordings.move_to_end(key)
        while len(self._recordings) > RECORDINGS:
            _, oldest = self._recordings.popitem(last=False)
            if oldest:
                oldest.free()

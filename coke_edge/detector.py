"""Frame in, keypoints out."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coke_edge.backends import AUTO, Backend, Staged, open_backend
from coke_edge.bundle import Bundle
from coke_edge.decode import decode
from coke_edge.geometry import Affine, box_to_crop, frame_box
from coke_edge.kernels.reference import Peaks
from coke_edge.keypoints import Keypoints
from coke_edge.manifest import ModelSpec
from coke_edge.preprocess import FrameError, check_frame
from coke_edge.selection import Indices, choose, maps_of, narrowed, of_maps


class Detector:
    """A model that is ready to run.

    >>> detector = Detector("person.coke")
    >>> keypoints = detector(frame, box=(120, 40, 310, 460))
    """

    spec: ModelSpec
    backend: Backend
    _maps: Indices | None = None  # of the chosen keypoints, among the model's; None is all of them

    def __init__(
        self,
        bundle: str | os.PathLike[str] | Bundle,
        backend: str = AUTO,
        threads: int = 0,
        precision: str = AUTO,
        keypoints: str = "",
    ) -> None:
        """Load a bundle ("demo" is the one in the package) into the backend of that name.

        `precision` is auto, fp32, fp16, int8 or fp8. "auto" is what the backend's `load` says; ONNX Runtime's is
        fp32, so on a CPU nothing less exact runs without being asked for.

        `keypoints` reports only those whose names begin so: `car/`, or `car/,bus/`, of a model of several categories.

        Raises BundleError or BackendError if either cannot be used.
        """
        bundle = bundle if isinstance(bundle, Bundle) else Bundle(bundle)
        self.spec = bundle.manifest.model
        if keypoints:
            chosen = choose(self.spec.keypoints, keypoints)
            self._maps = maps_of(self.spec, chosen)
            self.spec = narrowed(self.spec, chosen)
        self.backend = open_backend(bundle, backend, threads, precision)

    @classmethod
    def from_backend(cls, spec: ModelSpec, backend: Backend) -> Detector:
        """A detector on a backend that is already loaded, for example torch on a checkpoint."""
        detector = cls.__new__(cls)
        detector.spec, detector.backend = spec, backend
        return detector

    def __call__(self, frame: NDArray[np.uint8], box: ArrayLike | None = None) -> Keypoints:
        """The keypoints of one object in a frame [H, W, 3] BGR.

        `box` (x0, y0, x1, y1) in frame pixels says where the object is; None searches the whole frame.

        Raises FrameError if the frame or the box is unusable.
        """
        return self.batch(frame, [box])[0]

    def batch(self, frame: NDArray[np.uint8], boxes: Sequence[ArrayLike | None]) -> list[Keypoints]:
        """The same for several boxes of one frame, in one run of the network."""
        frame = check_frame(frame)
        if len(boxes) == 0:
            return []
        areas, affines = self._aim(frame, boxes)
        return self._decode(self.backend(frame, affines), affines, areas)

    def peaks(self, frame: NDArray[np.uint8], box: ArrayLike | None = None) -> Peaks:
        """What the head finds of one object, before it is decoded: [1, R, M] of R score maps; raises as a call does."""
        frame = check_frame(frame)
        peaks = self.backend(frame, self._aim(frame, [box])[1])
        return peaks if self._maps is None else of_maps(peaks, self._maps)

    def stages(
        self, frame: NDArray[np.uint8], boxes: Sequence[ArrayLike | None]
    ) -> tuple[list[Keypoints], dict[str, float]]:
        """What `batch` gives for B ≥ 1 boxes, by the same work, and the milliseconds of its parts.

        They are those of the backend (`backends.Staged`), or "network" for all of it if it tells no more, and "decode";
        finding the affines counts to "warp".
        """
        start = time.perf_counter()
        frame = check_frame(frame)
        areas, affines = self._aim(frame, boxes)
        aimed = time.perf_counter()
        if isinstance(self.backend, Staged):
            peaks, parts = self.backend.stages(frame, affines)
        else:
            peaks, parts = self.backend(frame, affines), {}
            parts["network"] = 1e3 * (time.perf_counter() - aimed)
        parts["warp"] = parts.get("warp", 0.0) + 1e3 * (aimed - start)
        start = time.perf_counter()
        objects = self._decode(peaks, affines, areas)
        parts["decode"] = 1e3 * (time.perf_counter() - start)
        return objects, parts

    def _aim(
        self, frame: NDArray[np.uint8], boxes: Sequence[ArrayLike | None]
    ) -> tuple[list[ArrayLike], list[Affine]]:
        """Where to look: areas [4] of the frame, and affines [2, 3] from the frame to their crops."""
        height, width = frame.shape[:2]
        whole = frame_box(width, height)
        affines = [self._affine(whole if box is None else box, box is not None) for box in boxes]
        for box in boxes:
            if box is not None and not overlap(np.asarray(box, dtype=np.float64), whole):
                raise FrameError(f"the box {box} lies outside the frame of {width} by {height} pixels")
        return [whole if box is None else box for box in boxes], affines

    def _decode(self, peaks: Peaks, affines: Sequence[Affine], areas: Sequence[ArrayLike]) -> list[Keypoints]:
        if self._maps is not None:
            peaks = of_maps(peaks, self._maps)
        return decode(peaks, affines, self.spec, areas)

    def _affine(self, box: ArrayLike, with_margin: bool) -> Affine:
        size = self.spec.input
        try:
            return box_to_crop(box, size.width, size.height, size.box_margin if with_margin else 1.0)
        except (TypeError, ValueError) as error:
            raise FrameError(f"cannot use the box {box!r}: {error}") from None


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether two boxes [4] share an area."""
    return bool((np.maximum(a[:2], b[:2]) < np.minimum(a[2:], b[2:])).all())

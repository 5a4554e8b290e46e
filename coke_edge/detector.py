"""Frame in, keypoints out."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coke_edge.backends import AUTO, Backend, open_backend
from coke_edge.bundle import Bundle
from coke_edge.decode import decode
from coke_edge.geometry import Affine, box_to_crop, frame_box
from coke_edge.keypoints import Keypoints
from coke_edge.manifest import ModelSpec
from coke_edge.preprocess import FrameError, check_frame


class Detector:
    """A model that is ready to run.

    >>> detector = Detector("person.coke")
    >>> keypoints = detector(frame, box=(120, 40, 310, 460))
    """

    spec: ModelSpec
    backend: Backend

    def __init__(
        self,
        bundle: str | os.PathLike[str] | Bundle,
        backend: str = AUTO,
        threads: int = 0,
        precision: str = AUTO,
    ) -> None:
        """Load a bundle ("demo" is the one in the package) into the backend of that name.

        `precision` is auto, fp32, fp16, int8 or fp8. "auto" is what the backend's `load` says; ONNX Runtime's is
        fp32, so on a CPU nothing less exact runs without being asked for.

        Raises BundleError or BackendError if either cannot be used.
        """
        bundle = bundle if isinstance(bundle, Bundle) else Bundle(bundle)
        self.spec = bundle.manifest.model
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
        height, width = frame.shape[:2]
        whole = frame_box(width, height)
        affines = [self._affine(whole if box is None else box, box is not None) for box in boxes]
        for box in boxes:
            if box is not None and not overlap(np.asarray(box, dtype=np.float64), whole):
                raise FrameError(f"the box {box} lies outside the frame of {width} by {height} pixels")
        peaks = self.backend(frame, affines)
        return decode(peaks, affines, self.spec, [whole if box is None else box for box in boxes])

    def _affine(self, box: ArrayLike, with_margin: bool) -> Affine:
        size = self.spec.input
        try:
            return box_to_crop(box, size.width, size.height, size.box_margin if with_margin else 1.0)
        except (TypeError, ValueError) as error:
            raise FrameError(f"cannot use the box {box!r}: {error}") from None


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether two boxes [4] share an area."""
    return bool((np.maximum(a[:2], b[:2]) < np.minimum(a[2:], b[2:])).all())

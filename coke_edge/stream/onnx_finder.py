"""An object detector of your own as an ONNX file.

Input: one tensor float32 [1, 3, H, W], RGB, 0 … 1, of fixed H and W. The frame keeps its aspect and stands in the
middle; what is left over is grey (114 of 255).
Output: one tensor [1, N, 6] or [N, 6] of rows x0, y0, x1, y1, score, class, in pixels of the input with the image's
corner at 0, overlaps already removed. That is what detectors exported "end to end" (with their non-maximum suppression)
commonly give. Any other detector is a Python function from a frame to boxes.
"""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import BackendError, StreamError
from coke_edge.geometry import box_to_crop, frame_box, invert, transform
from coke_edge.stream.region import Image

GREY = (114, 114, 114)


class OnnxFinder:
    """Calls the detector in ONNX Runtime on the CPU: frame → boxes [N, 4], best first.

    `score` is the least score of a box, `label` the only class that counts (None: all), `most` the number of boxes.

    Raises BackendError if ONNX Runtime or the file cannot be used, StreamError if it is no such detector.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        score: float = 0.5,
        label: int | None = None,
        most: int = 8,
        threads: int = 0,
    ) -> None:
        from coke_edge.backends.onnxruntime import session_options

        try:
            import onnxruntime
        except ImportError as error:
            raise BackendError(
                f"cannot import onnxruntime ({error}); `pip install onnxruntime` installs it"
            ) from None
        self._path, self._score, self._label, self._most = os.fspath(path), score, label, most
        try:
            self._session: Any = onnxruntime.InferenceSession(
                self._path, session_options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no base class of their own
            reason = str(error).splitlines()[0]
            raise BackendError(f"onnxruntime cannot use the detector {self._path}: {reason}") from None
        self._input, self._height, self._width = self._signature()

    def __call__(self, image: Image) -> NDArray[np.float64]:
        """The boxes [N, 4] in an image [H, W, 3], in its pixels."""
        height, width = image.shape[:2]
        affine = box_to_crop(frame_box(width, height), self._width, self._height)
        fitted = cv2.warpAffine(image, affine, (self._width, self._height), borderValue=GREY)
        tensor = np.ascontiguousarray(fitted[..., ::-1].transpose(2, 0, 1)[None], dtype=np.float32) / 255
        [rows] = self._session.run(None, {self._input: tensor})
        rows = np.asarray(rows, dtype=np.float64)
        if rows.ndim not in (2, 3) or rows.shape[-1] != 6 or rows.shape[:-2] not in ((), (1,)):
            raise StreamError(f"{self._path} gave {list(rows.shape)}, not [1, N, 6]: {CONTRACT}")
        rows = rows.reshape(-1, 6)
        rows = rows[rows[:, 4] >= self._score]
        if self._label is not None:
            rows = rows[rows[:, 5] == self._label]
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        corners = transform(invert(affine), rows[:, :4].reshape(-1, 2, 2) - 0.5)
        limits = frame_box(width, height).reshape(2, 2)
        boxes = np.clip(corners, limits[0], limits[1]).reshape(-1, 4)
        return boxes[(boxes[:, :2] < boxes[:, 2:]).all(axis=1)][: self._most]

    def _signature(self) -> tuple[str, int, int]:
        """Name, height and width of the input. Raises StreamError if the graph is no such detector."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if inputs else []
        sizes = [size for size in shape[2:] if isinstance(size, int)]
        good = len(inputs) == len(outputs) == 1 and inputs[0].type == "tensor(float)"
        if not good or len(shape) != 4 or shape[1] != 3 or len(sizes) != 2:
            found = ", ".join(f"{node.name} {node.type} {node.shape}" for node in (*inputs, *outputs))
            raise StreamError(f"{self._path} has {found}: {CONTRACT}")
        return inputs[0].name, sizes[0], sizes[1]


CONTRACT = (
    "a detector takes one float tensor [1, 3, H, W] and gives one [1, N, 6] (x0, y0, x1, y1, score, class); "
    "wrap any other in a Python function"
)

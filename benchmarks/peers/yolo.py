"""YOLO pose networks in ONNX Runtime: RGB in 0 … 1 as [1, 3, S, S] in, boxes with COCO's 17 joints out.

The files come out of an environment of their own (environments/yolo_to_onnx.sh): the package that exports them is under
the AGPL, and nothing of it is imported or copied here. What the outputs mean is from its documentation:

    [1, 56, A]    per anchor: box (centre x, y, width, height), confidence, 17 × (x, y, confidence); for
                  suppression of overlapping boxes afterwards
    [1, 300, 57]  the boxes that are left: corners, confidence, class, 17 × (x, y, confidence)

One person is asked for here: the most confident box, for which nothing has to be suppressed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.backends.onnxruntime import session_options
from coke_edge.benchmarks.peers.download import sha256
from coke_edge.benchmarks.peers.peer import Border, Card, Image, Peer, warp
from coke_edge.benchmarks.peers.skeletons import COCO
from coke_edge.errors import BackendError
from coke_edge.geometry import Affine

BORDER: Border = (114, 114, 114)  # the grey that it is trained with
MARGIN = 1.35  # as ours: without weights there is nothing to choose it by
RANDOM = "random"  # in the name of a file whose weights are none
NO_WEIGHTS = (
    "not measurable here: its weights could not be had, so it ran with random ones, for the latency alone"
)
BEFORE_ANCHORS = 5  # numbers of an anchor before its keypoints: box and confidence
BEFORE_BOXES = 6  # numbers of a remaining box before them: corners, confidence and class


class Yolo(Peer):
    """One exported file, called NAME-SIZE[-random].onnx."""

    def __init__(self, path: Path, threads: int) -> None:
        """Raises BackendError if ONNX Runtime refuses the file, or its output is not as described."""
        import onnxruntime

        try:
            self._session = onnxruntime.InferenceSession(
                str(path), session_options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no base class of their own
            raise BackendError(f"onnxruntime refuses {path}: {str(error).splitlines()[0]}") from None
        node, output = self._session.get_inputs()[0], self._session.get_outputs()[0].shape
        self._input, self._side = node.name, node.shape[-1]
        if not is_anchors(output) and not is_boxes(output):
            raise BackendError(f"{path} gives {output}, not the keypoints of one class: export it again")
        name, *rest = path.stem.rsplit(f"-{self._side}", 1)
        self.card = Card(
            name=f"{name} at {self._side}",
            sha256=sha256(path),
            backend="onnxruntime",
            precision="fp32",
            threads=threads,
            size=(self._side, self._side),
            margin=MARGIN,
            joints=COCO,
            unmeasurable=NO_WEIGHTS if RANDOM in "".join(rest) else "",
        )

    def prepare(self, frame: Image, affine: Affine) -> NDArray[Any]:
        """The crop as float32 [1, 3, S, S] RGB, converted, swapped and laid out in one pass."""
        return cv2.dnn.blobFromImage(warp(frame, affine, self._side, BORDER), 1 / 255, swapRB=True)

    def run(self, prepared: NDArray[Any]) -> NDArray[Any]:
        """See `Peer`."""
        outputs: NDArray[Any] = self._session.run(None, {self._input: prepared})[0]
        return outputs

    def decode(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """See `Peer`."""
        return keypoints(outputs)


def is_anchors(shape: Any) -> bool:
    """Whether an output [1, 56, A] is one of anchors."""
    return len(shape) == 3 and shape[1] == BEFORE_ANCHORS + 3 * len(COCO)


def is_boxes(shape: Any) -> bool:
    """Whether an output [1, n, 57] is one of remaining boxes."""
    return len(shape) == 3 and shape[2] == BEFORE_BOXES + 3 * len(COCO)


def keypoints(output: NDArray[Any]) -> NDArray[Any]:
    """[17, 2] crop px of the most confident box of an output of either form."""
    if is_boxes(output.shape):
        person = output[0, np.argmax(output[0, :, 4]), BEFORE_BOXES:]
    else:
        person = output[0, BEFORE_ANCHORS:, np.argmax(output[0, 4])]
    return person.reshape(-1, 3)[:, :2] - 0.5

"""BlazePose (MediaPipe's pose landmarks), full and lite: 256 × 256 RGB in 0 … 1, 33 landmarks out.

The network gives every landmark twice: by regression, and as a heatmap of 64 × 64 that MediaPipe sharpens the regressed
place with. We do the same, since it costs little and finds more. Its graph has a mask of the person and places in
metres besides, which cannot be cut off and so are computed too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.benchmarks.peers.download import Model, sha256
from coke_edge.benchmarks.peers.litert import BACKEND, LiteRt
from coke_edge.benchmarks.peers.peer import Card, Image, Peer, warp_rgb
from coke_edge.benchmarks.peers.skeletons import BLAZEPOSE
from coke_edge.geometry import Affine

PACKAGE = "@mediapipe/pose@0.5.1675469404"
MODELS = {
    "full": Model(
        PACKAGE,
        "pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    ),
    "lite": Model(
        PACKAGE,
        "pose_landmark_lite.tflite",
        "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
    ),
}

SIDE, CELLS, LANDMARKS = 256, 64, 39  # 33 landmarks and 6 that MediaPipe's tracking uses
STRIDE = SIDE // CELLS
REACH = 3  # cells around a landmark that sharpen it: a window of 7 × 7
SURE = 0.5  # probability that the window's best cell must have
MARGIN = 1.5  # the best on LSP's validation images: NOTES-peers.md
NOTES = (
    "without MediaPipe's detector, which would also turn the crop until the person stands upright",
    "weights stored in float16",
)


class BlazePose(Peer):
    """One variant in LiteRT."""

    def __init__(self, variant: str, path: Path, threads: int) -> None:
        """Raises BackendError if LiteRT is missing or refuses the file."""
        self._network = LiteRt(path, threads)
        self._landmarks = self._network.output(1, 5 * LANDMARKS)
        self._heatmaps = self._network.output(1, CELLS, CELLS, LANDMARKS)
        self.card = Card(
            name=f"BlazePose {variant}",
            sha256=sha256(path),
            backend=BACKEND,
            precision="fp32",
            threads=threads,
            size=(SIDE, SIDE),
            margin=MARGIN,
            joints=BLAZEPOSE,
            notes=NOTES,
        )

    def prepare(self, frame: Image, affine: Affine) -> None:
        """The crop, into the network's own input."""
        crop = warp_rgb(frame, affine, SIDE)
        np.multiply(crop, np.float32(1 / 255), out=self._network.input()[0])

    def run(self, prepared: None) -> None:
        """See `Peer`."""
        self._network.run()

    def decode(self, outputs: None) -> NDArray[Any]:
        """See `Peer`."""
        return sharpened(landmarks(self._landmarks()), self._heatmaps()[0])


def landmarks(output: NDArray[np.float32]) -> NDArray[np.float32]:
    """[33, 2] px from the crop's corner, of the output [1, 195]: x, y, z, visibility and presence of 39 landmarks."""
    return output.reshape(LANDMARKS, 5)[: len(BLAZEPOSE), :2]


def sharpened(xy: NDArray[np.float32], heatmaps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Landmarks [33, 2] px from the corner → crop px, sharpened by their heatmaps of logits [64, 64, 39].

    Where a heatmap is sure of a cell near its landmark, the landmark moves to the mean place of the cells around it,
    weighted by their probabilities.
    """
    cell = np.floor_divide(xy, STRIDE).astype(np.intp)
    window = np.arange(-REACH, REACH + 1)
    column, row = cell[:, :1] + window, cell[:, 1:] + window  # [33, 7] each
    inside_x, inside_y = (column >= 0) & (column < CELLS), (row >= 0) & (row < CELLS)
    rows, columns = row.clip(0, CELLS - 1)[:, :, None], column.clip(0, CELLS - 1)[:, None]
    logits = heatmaps[rows, columns, np.arange(len(xy))[:, None, None]].astype(np.float64)  # [33, 7, 7]
    weights = (inside_y[:, :, None] & inside_x[:, None]) / (1 + np.exp(-logits))
    total = np.maximum(weights.sum(axis=(1, 2)), np.finfo(np.float64).tiny)
    mean = np.stack([(weights.sum(axis=1) * column).sum(axis=1), (weights.sum(axis=2) * row).sum(axis=1)], 1)
    at_home = ((cell >= 0) & (cell < CELLS)).all(axis=1)
    sure = at_home & (weights.max(axis=(1, 2)) >= SURE)
    return np.where(sure[:, None], STRIDE * mean / total[:, None], xy) - 0.5

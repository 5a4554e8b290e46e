from __future__ import annotations

import numpy as np
import pytest

from coke_edge.benchmarks.flicker import steadiness, track
from coke_edge.benchmarks.tracking import Scene
from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D
from coke_edge.stream.smoothing import OneEuro

SCENE = Scene(
    np.zeros((50, 50, 3), np.uint8), np.array([5.0, 5.0, 45.0, 45.0]), np.zeros((360, 480, 3), np.uint8)
)


class Doubtful:
    """Finds one keypoint at the box's corner, or at its other corner if hidden, and cannot decide which."""

    def __init__(self, *visible: float) -> None:
        self._visible = visible
        self._calls = 0

    def __call__(self, image: np.ndarray, box: np.ndarray) -> Keypoints:
        assert image.std() > 1  # the noise of a sensor
        visible = np.array([self._visible[self._calls % len(self._visible)]])
        self._calls += 1
        one, xy = np.ones(1), np.array([box[:2]])
        return Keypoints(Keypoints2D(("a",)), xy, one, one, one, visible, box, hidden_xy=np.array([box[2:]]))


def test_moves_and_jumps_per_second_with_and_without_a_band() -> None:
    frames = track(Doubtful(0.25, 0.35), SCENE, 1.0, np.random.default_rng(0))
    as_they_are = steadiness([frames], None)
    assert as_they_are.moves == as_they_are.jumps == pytest.approx(30.0)
    assert as_they_are.otherwise == 0
    held = steadiness([frames], OneEuro(gone=0.2, back=0.4))
    assert held.moves == held.jumps == 0
    assert held.otherwise == 0.5


def test_what_is_decided_moves_with_its_object() -> None:
    frames = track(Doubtful(0.9), SCENE, 1.0, np.random.default_rng(0))
    steady = steadiness([frames], OneEuro())
    assert steady.moves == steady.jumps == steady.otherwise == 0

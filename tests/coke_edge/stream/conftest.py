from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D
from coke_edge.stream.frame import Frame, Result


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video of 12 frames, 64 × 48 at 25 per second, each of its own grey: 20 · index."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (64, 48))
    for index in range(12):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    return path


@pytest.fixture
def result():
    """Function (index, size, name, path) → a result with one keypoint."""

    def result(
        index: int = 0, size: tuple[int, int] = (48, 64), name: str = "a.png", path: Path | None = None
    ) -> Result:
        one = np.ones(1)
        keypoints = Keypoints(Keypoints2D(("tip",)), np.array([[5.0, 7.0]]), one, one, one, one, np.zeros(4))
        image = np.full((*size, 3), 20 * index, np.uint8)
        return Result(Frame(index, image, name, index / 25, path), (keypoints,), 0.01)

    return result

"""A small annotated data set made on the spot: coloured dots on a plate, one colour per keypoint."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from coke_edge.manifest import Keypoints2D
from coke_edge.train.data.sample import HIDDEN, VISIBLE, KeypointDataset, Sample

COLOURS = ((40, 40, 230), (40, 230, 40), (230, 60, 40), (30, 220, 220))
DOTS = Keypoints2D(("left_top", "right_top", "left_low", "right_low"), ((0, 1), (2, 3)), ((0, 1), (2, 3)))


def draw_dots(path: Path, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One image of 96×80 with a plate and four dots; returns keypoints [4, 2] and box [4]."""
    image = rng.integers(0, 90, (80, 96, 3)).astype(np.uint8)
    x, y = rng.uniform(12, 30), rng.uniform(12, 24)
    w, h = rng.uniform(36, 50), rng.uniform(30, 40)
    cv2.rectangle(image, (int(x - 6), int(y - 6)), (int(x + w + 6), int(y + h + 6)), (200, 200, 200), -1)
    points = np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]], np.float32)
    for (px, py), colour in zip(points, COLOURS, strict=True):
        cv2.circle(image, (round(float(px)), round(float(py))), 4, colour, -1)
    cv2.imwrite(str(path), image)
    return points, np.array([x - 6, y - 6, x + w + 6, y + h + 6], np.float32)


@pytest.fixture(scope="session")
def dots(tmp_path_factory: pytest.TempPathFactory) -> KeypointDataset:
    """Twelve samples; one keypoint of the last is annotated as hidden."""
    folder = tmp_path_factory.mktemp("dots")
    rng = np.random.default_rng(0)
    samples = []
    for i in range(12):
        points, box = draw_dots(folder / f"{i:02d}.png", rng)
        visibility = np.full(4, VISIBLE, np.uint8)
        if i == 11:
            visibility[0] = HIDDEN
        samples.append(Sample(folder / f"{i:02d}.png", points, visibility, box, str(i)))
    return KeypointDataset("dots", "train", DOTS, samples, "box", marks_hidden=True)

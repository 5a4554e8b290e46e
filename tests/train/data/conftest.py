"""Small data sets in the genuine layouts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import savemat


@pytest.fixture
def make_image() -> Callable[..., Path]:
    """Writes a picture; `seed` makes it differ from others."""

    def make(path: Path, width: int = 40, height: int = 30, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8))
        return path

    return make


@pytest.fixture
def make_lsp(tmp_path: Path, make_image: Callable[..., Path]) -> Callable[..., Path]:
    """Writes joints.mat and images im0001.jpg …"""

    def make(joints: np.ndarray, images: int, digits: int = 4) -> Path:
        savemat(tmp_path / "joints.mat", {"joints": joints})
        for number in range(1, images + 1):
            make_image(tmp_path / "images" / f"im{number:0{digits}d}.jpg", seed=number)
        return tmp_path

    return make


@pytest.fixture
def make_coco(tmp_path: Path, make_image: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a COCO keypoints file with one object in each of `count` images; changes go into a deep copy."""

    def make(
        count: int = 10, name: str = "annotations.json", write_images: bool = True, **changes: Any
    ) -> Path:
        category = {
            "id": 3,
            "name": "cup",
            "keypoints": ["left_rim", "right_rim", "base"],
            "skeleton": [[1, 2], [2, 3]],
        }
        content: dict[str, Any] = {
            "categories": [category],
            "images": [{"id": n, "file_name": f"{n}.png"} for n in range(1, count + 1)],
            "annotations": [
                {
                    "id": 100 + n,
                    "image_id": n,
                    "category_id": 3,
                    "keypoints": [n % 20 + 5, 5, 2, 20, 6, 1, 0, 0, 0],
                    "bbox": [4, 3, 20, 10],
                    "iscrowd": 0,
                }
                for n in range(1, count + 1)
            ],
        }
        content["categories"][0].update(changes.pop("category", {}))
        content["annotations"][0].update(changes.pop("annotation", {}))
        content.update(changes)
        if write_images:
            for n in range(1, count + 1):
                make_image(tmp_path / f"{n}.png", seed=n)
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return make

"""A data set made from nothing: brackets on a workbench, written as images with a COCO keypoints JSON.

It is used as any data of one's own: `coco:FOLDER/annotations.json`, whose 80/10/10 division makes the
splits. Image k depends on the seed and k alone, so a larger set begins with a smaller one.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from coke_edge.errors import DataError
from coke_edge.files import beside
from coke_edge.stream.images import write_image
from coke_edge.train.data.bracket import KEYPOINTS
from coke_edge.train.data.sample import UNLABELLED
from coke_edge.train.data.scene import HEIGHT, WIDTH, Scene, render_scene

VERSION = 1  # raise it when the pictures of a seed change


def write_generated(folder: Path, count: int, seed: int = 0) -> Path:
    """Write `count` pictures to `folder`/images and return the path of `folder`/annotations.json.

    The folder appears when it is complete. If it already holds just this data set, nothing is done.
    Raises DataError if it holds something else or cannot be written.
    """
    target = folder / "annotations.json"
    info = {"description": "Generated angle brackets", "version": VERSION, "count": count, "seed": seed}
    if folder.exists() and _info(target) == info:
        return target
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} exists and holds something else, choose another folder or remove it")
    temporary: Path | None = None
    try:
        temporary = beside(folder)
        (temporary / "images").mkdir(parents=True)
        _write(temporary, info)
        temporary.replace(folder)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def _info(annotations: Path) -> Any:
    """The `info` of a COCO file, or None."""
    try:
        return msgspec.json.decode(annotations.read_bytes())["info"]
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return None


def _write(folder: Path, info: dict[str, Any]) -> None:
    numbers = range(1, info["count"] + 1)

    def draw(number: int) -> Scene:
        scene = render_scene(np.random.default_rng([info["seed"], number]))
        write_image(folder / _image_name(number), scene.image)
        return dataclasses.replace(scene, image=np.empty((0, 0, 3), np.uint8))  # written, no longer needed

    # Threads suffice: most of the time is spent in OpenCV and numpy, which let others run meanwhile.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        annotations = [
            _annotation(scene, n) for n, scene in zip(numbers, pool.map(draw, numbers), strict=True)
        ]
    images = [{"id": n, "file_name": _image_name(n), "width": WIDTH, "height": HEIGHT} for n in numbers]
    category = {
        "id": 1,
        "name": "bracket",
        "keypoints": KEYPOINTS.names,
        "skeleton": [(a + 1, b + 1) for a, b in KEYPOINTS.skeleton],
    }
    content = {"info": info, "categories": [category], "images": images, "annotations": annotations}
    (folder / "annotations.json").write_bytes(msgspec.json.encode(content))


def _image_name(number: int) -> str:
    return f"images/{number:06d}.jpg"


def _annotation(scene: Scene, number: int) -> dict[str, Any]:
    labelled = scene.visibility != UNLABELLED
    points = np.where(labelled[:, None], scene.keypoints, 0).round(3)
    x0, y0, x1, y1 = (scene.box + 0.5).tolist()
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "keypoints": np.column_stack([points, scene.visibility]).ravel().tolist(),
        "num_keypoints": int(labelled.sum()),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": 0,
    }

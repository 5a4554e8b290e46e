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


def struct_array(items: list[dict[str, Any]]) -> np.ndarray:
    """MATLAB's 1×k struct array, whose structs all have the fields of the first."""
    array = np.empty((1, len(items)), dtype=[(name, object) for name in items[0]])
    for i, item in enumerate(items):
        array[0, i] = tuple(item.values())
    return array


def cells(items: list[Any]) -> np.ndarray:
    """MATLAB's 1×k cell array."""
    array = np.empty((1, len(items)), dtype=object)
    array[0, :] = items
    return array


@pytest.fixture
def thing() -> Callable[..., dict[str, Any]]:
    """An object of a PASCAL3D+ or ObjectNet3D record; anchors are (x, y, status), or None for one without a place."""

    def make(category: str, anchors: dict[str, Any] | None, **changes: Any) -> dict[str, Any]:
        located = {
            name: {"location": [], "status": 2.0}
            if anchor is None
            else {"location": [[float(anchor[0]), float(anchor[1])]], "status": float(anchor[2])}
            for name, anchor in (anchors or {}).items()
        }
        view = {"azimuth_coarse": 90.0, "azimuth": 92.5, "num_anchor": 6.0, **changes.pop("view", {})}
        return {
            "class": category,
            "bbox": np.array([[5.0, 6.0, 30.0, 25.0]]),
            "anchors": located or [],
            "viewpoint": view,
            "truncated": 0.0,
            "occluded": 0.0,
            "difficult": 0.0,
            **changes,
        }

    return make


@pytest.fixture
def write_record() -> Callable[..., Path]:
    """Writes a record of these objects, of an image 40 wide and 30 high."""

    def write(path: Path, *objects: dict[str, Any], **changes: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        things: Any = struct_array(list(objects)) if len(objects) > 1 else objects[0] if objects else []
        record = {
            "filename": f"{path.stem}.JPEG",
            "imgsize": np.array([[40, 30, 3]]),
            "objects": things,
            **changes,
        }
        savemat(path, {"record": record})
        return path

    return write


@pytest.fixture
def make_objectnet3d(
    tmp_path: Path, make_image: Callable[..., Path], write_record: Any
) -> Callable[..., str]:
    """Writes {image name: objects} into a flat release with these lists, and returns its specification."""

    def make(category: str, records: dict[str, list[dict[str, Any]]], **lists: str) -> str:
        for n, (name, objects) in enumerate(records.items()):
            write_record(tmp_path / "Annotations" / f"{name}.mat", *objects)
            make_image(tmp_path / "Images" / f"{name}.png", seed=n).rename(
                tmp_path / "Images" / f"{name}.JPEG"
            )
        (tmp_path / "Image_sets").mkdir(exist_ok=True)
        for split, names in lists.items():
            (tmp_path / "Image_sets" / f"{split}.txt").write_text("\n".join(names.split()) + "\n")
        return f"objectnet3d:{tmp_path}?category={category}"

    return make


@pytest.fixture
def make_occluded(
    tmp_path: Path, make_image: Callable[..., Path], write_record: Any, thing: Any
) -> Callable[..., str]:
    """Writes PASCAL3D+ and OccludedPASCAL3D+ with one car, two of whose wheels are seen, under these occluders."""

    def make(occluder: np.ndarray | None = None, level: str = "FGL1_BGL1", name: str = "n0001") -> str:
        wheels = {
            "left_front_wheel": (11, 21, 1),
            "left_back_wheel": (31, 21, 1),
            "right_front_wheel": (12, 5, 2),
        }
        pascal3d, occluded = tmp_path / "pascal3d", tmp_path / "occluded"
        write_record(pascal3d / "Annotations/car_imagenet" / f"{name}.mat", thing("car", wheels))
        folder = f"car{level}"
        picture = make_image(occluded / "images" / folder / f"{name}.png")
        picture.rename(picture.with_suffix(".JPEG"))
        annotations = occluded / "annotations" / folder
        annotations.mkdir(parents=True, exist_ok=True)
        mask = np.zeros((30, 40), bool) if occluder is None else occluder
        np.savez(
            annotations / f"{name}.npz",
            source=f"anywhere/{name}.JPEG",
            occluder_mask=mask,
            mask=np.full((30, 40), 255, np.uint8),
            box=np.array([6, 25, 5, 30, 30, 40]),
            occluder_box=np.array([[0, 30, 0, 20, 30, 40]]),
            category="car",
            occluder_level="F",  # as published
        )
        (occluded / "lists").mkdir(exist_ok=True)
        with (occluded / "lists" / f"{folder}.txt").open("a") as file:
            file.write(f"{name}.JPEG\n")
        return f"occluded-pascal3d:{occluded}?pascal3d={pascal3d}&category=car"

    return make


@pytest.fixture
def mpii_person() -> Callable[..., dict[str, Any]]:
    """A person of MPII's .mat with joint j at (10 + j, 20 + j), counted from 1; `without` leaves fields out."""

    def make(without: str = "", points: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
        if points is None:
            points = [{"x": 10.0 + j, "y": 20.0 + j, "id": float(j), "is_visible": 1.0} for j in range(16)]
        person = {
            "x1": 12.0,
            "y1": 3.0,
            "x2": 15.0,
            "y2": 7.0,
            "scale": 0.1,
            "objpos": {"x": 20.0, "y": 15.0},
            "annopoints": {"point": struct_array(points)},
            **changes,
        }
        return {name: value for name, value in person.items() if name not in without.split()}

    return make


@pytest.fixture
def make_mpii(tmp_path: Path, make_image: Callable[..., Path]) -> Callable[..., Path]:
    """Writes images 1.png … and the genuine .mat with the persons of each; `training` is img_train."""

    def make(*images: list[dict[str, Any]], training: list[int] | None = None, **changes: Any) -> Path:
        annolist = []
        for n, persons in enumerate(images, 1):
            make_image(tmp_path / "images" / f"{n}.png", seed=n)
            # A struct array has one set of fields, so persons that differ in theirs are a cell array here.
            same = len({tuple(person) for person in persons}) == 1
            annorect = (struct_array(persons) if same else cells(persons)) if persons else []
            annolist.append({"image": {"name": f"{n}.png"}, "annorect": annorect})
        release: dict[str, Any] = {"annolist": struct_array(annolist), "version": "12", **changes}
        if training is not None:
            release["img_train"] = np.array([training], float)
        savemat(tmp_path / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})
        return tmp_path

    return make


@pytest.fixture
def make_mpii_h5(tmp_path: Path) -> Callable[..., Path]:
    """Writes the arrays of valid.h5 for persons at the same places as `mpii_person`, one in each image."""

    def make(count: int = 2, **changes: Any) -> Path:
        h5py = pytest.importorskip("h5py")
        joint = np.arange(16.0)
        arrays: dict[str, Any] = {
            "imgname": np.array([f"{n}.png".encode() for n in range(1, count + 1)]),
            "part": np.tile(np.stack([10 + joint, 20 + joint], 1), (count, 1, 1)),
            "visible": np.ones((count, 16)),
            "center": np.tile([20.0, 16.5], (count, 1)),
            "scale": np.full(count, 0.125),
            "normalize": 3.0 + np.arange(count),
            **changes,
        }
        path = tmp_path / "valid.h5"
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                if values is not None:
                    file[name] = values
        return path

    return make

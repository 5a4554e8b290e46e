"""COCO keypoints JSON of any category: `coco:ANNOTATIONS.json?images=FOLDER&category=NAME`.

Parameters
    images      folder of the images, may stand several times; default: the folder of the JSON file
    category    its name; may be left out if only one category of the file has keypoints
    train, val, test
                files of their own for these splits. Without any of them the images of the one file are
                divided 80/10/10, seeded and by image, so that no image is in two splits. With one of them
                the main file is the training split, or the test split where another is for training; without
                a file for validation a tenth of the training images is for that, and without one for testing
                there is no test split. No file is for two splits.
    split=all   the whole file in every split, for looking at data
    seed        of the division

Left and right are paired by name (`left_x`, `right_x`), unless the category has `flip_pairs` (pairs of
names) or `flip_indices` (for each keypoint the index, from 0, of the one it becomes). `skeleton` counts from
1, as in COCO.

Coordinates: COCO's keypoints are indices of pixels counted from 0, so they are taken as they are; its boxes
(x, y, width, height) come from outlines measured from the image's corner, so half a pixel is subtracted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError
from coke_edge.files import is_there
from coke_edge.manifest import Keypoints2D
from coke_edge.train.data.coco_file import Annotation, Category, CocoFile, read_coco_file
from coke_edge.train.data.division import held_out, ranked, tenth
from coke_edge.train.data.flips import flip_pairs_by_name
from coke_edge.train.data.sample import (
    FAR,
    HIDDEN,
    UNLABELLED,
    KeypointDataset,
    NoSuchSplit,
    Sample,
    Split,
    bounding_box,
)
from coke_edge.train.data.spec import DatasetSpec

# Of images, split and seed: those of the split.
Draw = Callable[[list[int | str], Split, int], set[int | str]]


class CocoOptions(msgspec.Struct, frozen=True):
    """The parameters of `coco:`, see the module."""

    images: list[str] = []
    category: str = ""
    train: str = ""
    val: str = ""
    test: str = ""
    split: Literal["", "all"] = ""
    seed: int = 0


def load_coco(spec: DatasetSpec, split: Split) -> KeypointDataset:
    """The objects of one category in one split; crowds and objects without a labelled keypoint are left out.

    Raises DataError if the file is missing, no COCO keypoints JSON, or contradicts itself, NoSuchSplit for the test
    split where other splits have files of their own and it has none.
    """
    options = spec.options(CocoOptions)
    path, draw = _file_of_split(spec, options, split)
    content = read_coco_file(path)
    category = _choose_category(content, options.category, path)
    keypoints = _keypoints(category, path)
    folders = [Path(folder).expanduser() for folder in options.images] or [path.parent]
    files = {image.id: _find(image.file_name, folders) for image in content.images}
    by_image = _samples(content, category, files, path)
    chosen = draw(list(by_image), split, options.seed)
    samples = [sample for image, group in by_image.items() if image in chosen for sample in group]
    marks_hidden = any((sample.visibility == HIDDEN).any() for sample in samples)
    return KeypointDataset(spec.text, split, keypoints, samples, "box", marks_hidden)


def _file_of_split(spec: DatasetSpec, options: CocoOptions, split: Split) -> tuple[Path, Draw]:
    """The file to read for a split, and which of its images are of the split.

    Raises DataError if one file is for two splits, NoSuchSplit if none is for the test.
    """
    if options.split == "all":
        return spec.path, _all
    if not (options.train or options.val or options.test):
        return spec.path, _three_parts
    own = _files_by_split(spec, options)
    if split == "test" and "test" not in own:
        raise NoSuchSplit(f"{spec.text} names no file of test images: add &test=, or use --split val")
    if split in own:
        return own[split], _two_parts if split == "train" and "val" not in own else _all
    return own["train"], _two_parts


def _files_by_split(spec: DatasetSpec, options: CocoOptions) -> dict[Split, Path]:
    """The files of the splits that have one; the main file is for what no other is. Raises DataError if two are one."""
    named: dict[Split, str] = {"train": options.train, "val": options.val, "test": options.test}
    own = {split: Path(file).expanduser() for split, file in named.items() if file}
    own.setdefault("train", spec.path)
    files = [os.path.realpath(file) for file in own.values()]
    if len(set(files)) < len(files):
        raise DataError(f"{spec.text} gives one file to two splits: name a file of other images for each")
    if os.path.realpath(spec.path) not in files:
        own.setdefault("test", spec.path)
    return own


def _all(images: list[int | str], split: Split, seed: int) -> set[int | str]:
    return set(images)


def _two_parts(images: list[int | str], split: Split, seed: int) -> set[int | str]:
    """A tenth of the training images for val, the others for train."""
    held = held_out([images], seed)
    return held if split == "val" else set(images) - held


def _three_parts(images: list[int | str], split: Split, seed: int) -> set[int | str]:
    """A tenth of all images (at least one) each for val and test, the others for train."""
    order = ranked(images, seed)
    part = tenth(len(order))
    parts: dict[Split, slice] = {
        "val": slice(part),
        "test": slice(part, 2 * part),
        "train": slice(2 * part, None),
    }
    return set(order[parts[split]])


def _choose_category(content: CocoFile, name: str, path: Path) -> Category:
    having = [category for category in content.categories if category.keypoints]
    if not having:
        raise DataError(f"{path}: no category lists 'keypoints', so it is no COCO keypoints file")
    chosen = [category for category in having if category.name == name] if name else having
    if len(chosen) != 1:
        names = ", ".join(category.name for category in having)
        raise DataError(f"{path}: add ?category= with one of {names}")
    return chosen[0]


def _keypoints(category: Category, path: Path) -> Keypoints2D:
    names = category.keypoints
    if len(set(names)) != len(names):
        raise DataError(f"{path}: the category '{category.name}' names a keypoint twice")
    if any(not 1 <= k <= len(names) for edge in category.skeleton for k in edge):
        raise DataError(
            f"{path}: the skeleton of '{category.name}' must count keypoints from 1 to {len(names)}"
        )
    skeleton = tuple((a - 1, b - 1) for a, b in category.skeleton)
    return Keypoints2D(tuple(names), skeleton, _flip_pairs(category, path))


def _flip_pairs(category: Category, path: Path) -> tuple[tuple[int, int], ...]:
    names = category.keypoints
    if category.flip_indices is not None:
        partner = dict(enumerate(category.flip_indices))
        if len(partner) != len(names) or any(partner.get(p) != k for k, p in partner.items()):
            raise DataError(f"{path}: 'flip_indices' of '{category.name}' do not exchange keypoints in pairs")
        return tuple((k, p) for k, p in partner.items() if k < p)
    if category.flip_pairs is not None:
        paired = [name for pair in category.flip_pairs for name in pair]
        if not set(paired) <= set(names) or len(set(paired)) != len(paired):
            raise DataError(
                f"{path}: 'flip_pairs' of '{category.name}' must be pairs of its keypoints, each name once"
            )
        return tuple((names.index(a), names.index(b)) for a, b in category.flip_pairs)
    return flip_pairs_by_name(names)


def _find(file_name: str, folders: list[Path]) -> Path:
    """The first folder that has the image decides; if none has, the first is where it is missed."""
    candidates = [folder / file_name for folder in folders]
    if len(candidates) == 1:
        return candidates[0]
    return next((path for path in candidates if is_there(path)), candidates[0])


def _samples(
    content: CocoFile, category: Category, files: dict[int | str, Path], path: Path
) -> dict[int | str, list[Sample]]:
    """The usable objects of the category, by image id, in the order of the file."""
    by_image: dict[int | str, list[Sample]] = {}
    for annotation in content.annotations:
        if annotation.category_id != category.id or annotation.iscrowd or not annotation.keypoints:
            continue
        image = annotation.image_id
        if image not in files:
            raise DataError(
                f"{path}: annotation {annotation.id} belongs to image {image}, which 'images' does not list"
            )
        points, visibility = _points(annotation, len(category.keypoints), path)
        if not visibility.any():
            continue
        by_image.setdefault(image, []).append(
            Sample(
                files[image],
                points,
                visibility,
                _box(annotation, points),
                key=f"{image}#{annotation.id}",
                meta={"category": category.name},
            )
        )
    return by_image


def _points(annotation: Annotation, count: int, path: Path) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Keypoints [K, 2], NaN where v is 0, and visibility [K]."""
    if len(annotation.keypoints) != 3 * count:
        raise DataError(
            f"{path}: annotation {annotation.id} has {len(annotation.keypoints)} numbers under 'keypoints', "
            f"but its category has {count} keypoints of three numbers each"
        )
    table = np.array(annotation.keypoints, dtype=np.float64).reshape(count, 3)
    if not np.isin(table[:, 2], (0, 1, 2)).all():
        raise DataError(f"{path}: annotation {annotation.id} has a visibility other than 0, 1 or 2")
    visibility = table[:, 2].astype(np.uint8)
    if not (np.abs(table[visibility != UNLABELLED, :2]) < FAR).all():
        raise DataError(f"{path}: annotation {annotation.id} has a keypoint at an impossible place")
    table[visibility == UNLABELLED, :2] = np.nan
    points = table[:, :2].astype(np.float32)
    return points, visibility


def _box(annotation: Annotation, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The annotated box, edges in pixels whose centres are integers; else the one around the keypoints."""
    if annotation.bbox is None or len(annotation.bbox) != 4:
        return bounding_box(points)
    x, y, width, height = annotation.bbox
    if not (FAR > width > 0 and FAR > height > 0 and abs(x) < FAR and abs(y) < FAR):
        return bounding_box(points)
    return np.array([x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5], dtype=np.float32)

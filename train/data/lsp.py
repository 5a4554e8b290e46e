"""Leeds Sports Pose: `joints.mat` beside `images/im0001.jpg` …; also its Extended training set.

* LSP: joints (3, 14, N): x, y and 1 where the joint is occluded. The first half of the images is for
  training (every tenth of them is our validation split), the second half is the test split.
* LSP Extended: joints (14, 3, N): x, y and 1 where the joint is visible; the others are not labelled.
  It has no test split; every tenth image is our validation split.

The files do not say where their coordinates start, and being scaled they are no integers. We subtract half
a pixel (origin at the image's corner → pixel centres at integers): people stand mirrored as often as not,
so the mean image gradient around a joint is symmetric in x about the true joint; over the 2,000 images of
LSP its axis lies at x − 0.50 (within ±0.05 on each quarter of the images).
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError
from coke_edge.manifest import Keypoints2D
from coke_edge.train.data.body import ARMS, LEGS
from coke_edge.train.data.flips import flip_pairs_by_name
from coke_edge.train.data.mat import read_mat
from coke_edge.train.data.sample import (
    FAR,
    HIDDEN,
    UNLABELLED,
    VISIBLE,
    KeypointDataset,
    NoSuchSplit,
    Sample,
    Split,
    bounding_box,
)
from coke_edge.train.data.spec import DatasetSpec

NAMES = (*LEGS, *ARMS, "neck", "head_top")
SKELETON = (
    *((0, 1), (1, 2), (2, 3), (3, 4), (4, 5)),  # ankle to ankle along the legs
    *((6, 7), (7, 8), (8, 12), (12, 9), (9, 10), (10, 11)),  # wrist to wrist along the arms
    *((8, 2), (9, 3), (12, 13)),  # the sides of the trunk, the head
)
KEYPOINTS = Keypoints2D(NAMES, SKELETON, flip_pairs_by_name(NAMES))


class LspOptions(msgspec.Struct, frozen=True):
    """LSP takes no parameters."""


def load_lsp(spec: DatasetSpec, split: Split) -> KeypointDataset:
    """The samples of one split; the object's box is that of all labelled joints.

    Raises DataError if joints.mat is missing, broken or of another shape, NoSuchSplit for the test split of
    LSP Extended.
    """
    spec.options(LspOptions)
    joints, visibility, digits = _read_joints(spec.path / "joints.mat")
    images = spec.path / "images"
    extended = digits == 5
    if extended and split == "test":
        raise NoSuchSplit(f"{spec.text}: LSP Extended has no test split, use --split val")
    samples = [
        _sample(images / f"im{number:0{digits}d}.jpg", joints[number - 1], visibility[number - 1])
        for number in _numbers(len(joints), split, has_test=not extended)
        if visibility[number - 1].any()
    ]
    return KeypointDataset(spec.text, split, KEYPOINTS, samples, "torso", marks_hidden=not extended)


def _numbers(count: int, split: Split, has_test: bool) -> list[int]:
    """The image numbers, from 1, of a split."""
    training = count // 2 if has_test else count
    if split == "test":
        return list(range(training + 1, count + 1))
    return [number for number in range(1, training + 1) if (number % 10 == 0) == (split == "val")]


def _read_joints(path: Path) -> tuple[NDArray[np.float32], NDArray[np.uint8], int]:
    """Joints [N, 14, 2], visibility [N, 14] and the digits of the image numbers."""
    joints = np.asarray(read_mat(path, "joints"))
    if joints.dtype.kind not in "biuf":
        raise DataError(f"{path} holds joints that are no numbers")
    if joints.ndim == 3 and joints.shape[:2] == (3, 14):
        table = joints.transpose(2, 1, 0)
        visibility = np.where(table[..., 2] == 1, HIDDEN, VISIBLE)
        digits = 4
    elif joints.ndim == 3 and joints.shape[:2] == (14, 3):
        table = joints.transpose(2, 0, 1)
        visibility = np.where(table[..., 2] == 1, VISIBLE, UNLABELLED)
        digits = 5
    else:
        raise DataError(f"{path} holds joints of shape {joints.shape}, not (3, 14, N) as in LSP")
    known = (np.abs(table[..., :2]) < FAR).all(axis=-1)
    visibility = np.where(known, visibility, UNLABELLED).astype(np.uint8)
    points = np.where((visibility == UNLABELLED)[..., None], np.nan, table[..., :2]).astype(np.float32)
    points -= np.float32(0.5)
    return points, visibility, digits


def _sample(image: Path, keypoints: NDArray[np.float32], visibility: NDArray[np.uint8]) -> Sample:
    return Sample(image, keypoints, visibility, bounding_box(keypoints), key=image.stem)

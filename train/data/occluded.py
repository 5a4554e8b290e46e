"""Images that `coke-edge data occlude` wrote, of any data set: `occluded:FOLDER?level=L1`.

Keypoints, boxes, the measure and what it counts are those of the data set that was covered, so figures are those that
`coke-edge eval --occlusion` gives on the fly. The folder holds one split of it. Each level is also a plain COCO
keypoints file, `coco:FOLDER/L1.json?split=all`, which other tools read; the measure is then that of `coco:`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from coke_edge.errors import DataError
from coke_edge.train.data.coco import load_coco
from coke_edge.train.data.sample import COVERED, KeypointDataset, Normaliser, NoSuchSplit, Sample, Split
from coke_edge.train.data.spec import DatasetSpec
from coke_edge.train.occlusion_levels import LEVELS

HEAD = "head_size"


class OccludedOptions(msgspec.Struct, frozen=True):
    """The parameters of `occluded:`."""

    level: str = ""


class Info(msgspec.Struct):
    """What stands in the file about the data set that was covered."""

    level: str
    split: Split
    normaliser: Normaliser
    marks_hidden: bool
    unscored: tuple[str, ...]
    counts_hidden: bool
    left_out: dict[str, int]


class Extra(msgspec.Struct):
    """What an annotation has beyond COCO's."""

    id: int
    image_id: int
    key: str
    covered: list[Literal[0, 1, 2]]  # of each keypoint
    meta: dict[str, Any]


class LevelFile(msgspec.Struct):
    """A level, without what `coco:` reads of it."""

    info: Info
    annotations: list[Extra]


def load_occluded(spec: DatasetSpec, split: Split) -> KeypointDataset:
    """The objects of one level; their keys and meta are those of the original data set.

    Raises DataError if the level is missing or damaged, NoSuchSplit for another split than the one that was covered.
    """
    level = spec.options(OccludedOptions).level
    if level not in LEVELS:
        raise DataError(f"{spec.text}: add ?level= with one of the levels that were written, such as L1")
    path = spec.path / f"{level}.json"
    found = load_coco(DatasetSpec(spec.text, "coco", path, {"split": ["all"]}), split)
    content = _extras(path, len(found.keypoints.names))
    info = content.info
    if split != info.split:
        raise NoSuchSplit(f"{spec.text} was made of the {info.split} split: use --split {info.split}")
    extras = {f"{extra.image_id}#{extra.id}": extra for extra in content.annotations}
    return dataclasses.replace(
        found,
        samples=[_sample(sample, extras[sample.key], level) for sample in found.samples],
        normaliser=info.normaliser,
        marks_hidden=info.marks_hidden,
        unscored=info.unscored,
        counts_hidden=info.counts_hidden,
        left_out=info.left_out,
    )


def _extras(path: Path, keypoints: int) -> LevelFile:
    try:
        content = msgspec.json.decode(path.read_bytes(), type=LevelFile)
    except msgspec.ValidationError as error:
        raise DataError(
            f"{path} was not written by `coke-edge data occlude` ({error}): use coco: for it"
        ) from error
    if any(len(extra.covered) != keypoints for extra in content.annotations):
        raise DataError(f"{path} contradicts itself: 'covered' is not one number for each keypoint")
    if any(not isinstance(extra.meta.get(HEAD, 0), int | float | None) for extra in content.annotations):
        raise DataError(f"{path} contradicts itself: a '{HEAD}' is no number")
    return content


def _sample(sample: Sample, extra: Extra, level: str) -> Sample:
    # JSON has no NaN: a head size that is not known was written as null.
    meta = {name: value for name, value in extra.meta.items() if not (name == HEAD and value is None)}
    covered = np.array(extra.covered, dtype=np.uint8)
    return dataclasses.replace(sample, key=extra.key, meta={**meta, "level": level, COVERED: covered})

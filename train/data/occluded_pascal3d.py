"""OccludedPASCAL3D+: images of PASCAL3D+'s ImageNet part with occluders pasted on them, to test on.

    occluded-pascal3d:FOLDER?pascal3d=FOLDER&category=car&level=L1

The folder, for a category `cls` and levels i of the object's and j of the background's coverage (1 to 3):

    images/{cls}FGL{i}_BGL{j}/NAME.JPEG        of the size of the original
    annotations/{cls}FGL{i}_BGL{j}/NAME.npz    arrays, none of them pickled:
        source           the original image's path, str
        occluder_mask    [H, W] bool or number, not 0 where an occluder covers the image
        mask             [H, W] uint8, above 10 on the object (of the original, so under occluders too)
        box              [6] y0, y1, x0, x1, H, W of the object
        occluder_box     [n, 6] the same for each occluder
        category         str
        occluder_level   unreliable as published: the level is the folder's
    lists/{cls}FGL{i}_BGL{j}.txt               NAME.JPEG, one a line: the images that the level has

`coke-edge data occlude` writes the same, with PNG images and a further array `object`: the number, from 0, of the one
object of the record that is covered in the image. The record's others are left out here, without being counted.

Only the list, `occluder_mask` and, of our own files, `object` and `source` are read from here. Keypoints, boxes and
viewpoints are those of PASCAL3D+'s records (`pascal3d=` is its folder; `Annotations/{cls}_imagenet/NAME.mat`, and
`_pascal` where that is missing): a visible keypoint whose pixel an occluder covers becomes HIDDEN: it is scored for
visibility, and for its place apart from the visible ones. A mask of another size than the record's `imgsize` belongs
to another image: its objects are left out and counted.

`level` is L0 to L3, which is FGL0_BGL0 and so on, or a folder's own, such as FGL1_BGL3. Object coverage: 20–40 %,
40–60 %, 60–80 %; background: 0–20 %, 20–40 %, 40–60 %. The published set is a test set: it has no other splits. A
written one has the split that was covered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError
from coke_edge.files import is_there
from coke_edge.train.data.joint import JointLayout, chosen_categories, join
from coke_edge.train.data.lists import read_names
from coke_edge.train.data.npz import read_arrays
from coke_edge.train.data.occluded_names import INFO, VERSION, read_written
from coke_edge.train.data.pascal3d_anchors import ANCHORS, keypoints_of
from coke_edge.train.data.records import ObjectOptions, Record, labelled_objects, read_record
from coke_edge.train.data.sample import KeypointDataset, NoSuchSplit, Sample, Split
from coke_edge.train.data.spec import DatasetSpec
from coke_edge.train.occlusion_levels import covered_sample

LEVEL = re.compile(r"L([0-3])|(FGL[0-9]_BGL[0-9])")
SUFFIXES = (".JPEG", ".png")  # as published, as written here


class OccludedOptions(ObjectOptions, frozen=True):
    """The parameters of `occluded-pascal3d:`, see the module."""

    pascal3d: str = ""
    level: str = ""


class Masked(NamedTuple):
    """What the file beside an image says."""

    covered: NDArray[np.bool_]  # [H, W], where an occluder is
    number: int | None = None  # of the one object that is covered, from 0; None: all of them
    original: str = ""  # name of the record, where it is not that of the file


def level_folder(category: str, level: str) -> str:
    """The folder's name of a category at a level: `carFGL1_BGL1` for L1. Raises DataError for what is no level."""
    match = LEVEL.fullmatch(level)
    if match is None:
        raise DataError(
            f"'{level}' is no level of occlusion: write L0, L1, L2, L3 or, for example, FGL1_BGL3"
        )
    return category + (match[2] or f"FGL{match[1]}_BGL{match[1]}")


def load_occluded_pascal3d(spec: DatasetSpec, split: Split) -> KeypointDataset:
    """The occluded objects of one or several categories at one level.

    Meta of a sample: that of PASCAL3D+ and `level`. Raises DataError if a parameter, a list, a record or a mask is
    missing or cannot be used, NoSuchSplit for another split than the one that was covered.
    """
    options = spec.options(OccludedOptions)
    if not (options.pascal3d and options.level):
        raise DataError(
            f"{spec.text}: add ?pascal3d= with the folder of PASCAL3D+, whose keypoints these are, and &level="
        )
    _require_split(spec, split)
    categories = chosen_categories(options.category, tuple(ANCHORS), spec.text)
    layout = join({category: keypoints_of(category) for category in categories})
    left_out: Counter[str] = Counter()
    samples = [
        sample
        for category in categories
        for sample in _samples(spec.path, category, options, layout, left_out)
    ]
    return KeypointDataset(
        spec.text, split, layout.keypoints, samples, "box", marks_hidden=True, left_out=dict(left_out)
    )


def _require_split(spec: DatasetSpec, split: Split) -> None:
    """Raise DataError unless the folder, published or written, is of this split and of PASCAL3D+."""
    written = read_written(spec.path)
    if written is None:
        if split != "test":
            raise NoSuchSplit(
                f"{spec.text}: OccludedPASCAL3D+ is a test set, use --split test, and train on pascal3d:"
            )
        return
    if written.data != "pascal3d":
        raise DataError(f"{spec.text} was made of {written.data}: name it as occluded:{spec.path}?level=")
    if written.version < VERSION:
        raise DataError(
            f"{spec.path / INFO} is of an earlier version, which does not say which objects are covered: "
            "write the folder again with `coke-edge data occlude`, or name it as occluded:"
        )
    if split != written.split:
        raise NoSuchSplit(f"{spec.text} was made of the {written.split} split: use --split {written.split}")


def _samples(
    root: Path, category: str, options: OccludedOptions, layout: JointLayout, left_out: Counter[str]
) -> Iterator[Sample]:
    folder = level_folder(category, options.level)
    names = keypoints_of(category).names
    for name in read_names(root / "lists" / f"{folder}.txt"):
        mask_file = root / "annotations" / folder / f"{name}.npz"
        masked = _masked(mask_file)
        pascal3d = Path(options.pascal3d).expanduser()
        record = read_record(_record_path(pascal3d, category, masked.original or name))
        if masked.number is not None:
            record = _with_one_object(record, masked.number, mask_file)
        if record.size not in (None, masked.covered.shape[::-1]):
            left_out["whose mask and image differ in size"] += 1
            continue
        for thing in labelled_objects(record, category, names, options, left_out):
            points, visibility = layout.place(category, thing.keypoints, thing.visibility)
            sample = Sample(
                _image_path(root / "images" / folder, name),
                points,
                visibility,
                thing.box,
                key=f"{folder}/{name}#{thing.number}",
                meta={**thing.meta, "level": options.level},
            )
            yield covered_sample(sample, masked.covered)


def _with_one_object(record: Record, number: int, mask_file: Path) -> Record:
    """The record with only this object of it, at its place. Raises DataError if it has none of that number."""
    if not 0 <= number < len(record.objects):
        raise DataError(
            f"{mask_file} covers object {number} of a record that has {len(record.objects)}: name with pascal3d= the "
            "folder that was covered, or write the images again with `coke-edge data occlude`"
        )
    return record._replace(objects=[thing if n == number else {} for n, thing in enumerate(record.objects)])


def _image_path(folder: Path, name: str) -> Path:
    candidates = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    return next((path for path in candidates if is_there(path)), candidates[0])


def _record_path(pascal3d: Path, category: str, name: str) -> Path:
    """Where PASCAL3D+ has the record of an image; the published set has images of its ImageNet part alone."""
    candidates = [
        pascal3d / "Annotations" / f"{category}_{source}" / f"{name}.mat" for source in ("imagenet", "pascal")
    ]
    return next((path for path in candidates if is_there(path)), candidates[0])


def _masked(path: Path) -> Masked:
    """What a file says. Raises DataError if it has no mask, or an object that is no number."""
    arrays = read_arrays(path, ("occluder_mask",), ("object", "source"))
    mask, number = arrays["occluder_mask"], arrays.get("object")
    if mask.ndim != 2 or mask.dtype.kind not in "biuf" or mask.size == 0:
        raise DataError(f"{path}: 'occluder_mask' is no array of numbers [height, width]")
    if number is None:
        return Masked(mask != 0)
    if number.ndim or number.dtype.kind not in "iu" or "source" not in arrays:
        raise DataError(f"{path}: 'object' is not the number of one object of 'source'")
    return Masked(mask != 0, int(number), Path(str(arrays["source"])).stem)

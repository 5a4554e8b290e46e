"""PASCAL3D+, release 1.1: one sample for each object of a category, or of several.

The folder holds `Annotations/{category}_{source}/*.mat`, `Images/{category}_{source}/` and
`Image_sets/{category}_{source}_{train,val}.txt`, where source is `pascal` or `imagenet`. The published
release has lists for `imagenet` only; those for `pascal` are then VOC's own, in
`PASCAL/VOCdevkit/VOC2012/ImageSets/Main`. There is no test list: the splits val and test are the same.

An anchor of status 1 is visible; with another status it is hidden where it has a location all the same, else
unlabelled. Objects without any labelled anchor are left out.

`category=car,bus` or `category=all` gives one data set with the keypoints of all of them (train/data/joint.py);
`azimuth=seen` or `unseen` keeps one half of the viewpoints (train/data/azimuth.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from coke_edge.errors import DataError
from coke_edge.train.data.joint import JointLayout, chosen_categories, join
from coke_edge.train.data.lists import read_names
from coke_edge.train.data.pascal3d_anchors import ANCHORS, keypoints_of
from coke_edge.train.data.records import ObjectOptions, labelled_objects, read_record
from coke_edge.train.data.sample import HIDDEN, KeypointDataset, Sample, Split
from coke_edge.train.data.spec import DatasetSpec


class Pascal3DOptions(ObjectOptions, frozen=True):
    """The parameters of `pascal3d:`."""

    source: Literal["all", "pascal", "imagenet"] = "all"


def load_pascal3d(spec: DatasetSpec, split: Split) -> KeypointDataset:
    """The objects of one or several categories in one split.

    Meta of a sample: category, source, truncated, occluded, difficult, and azimuth, elevation, theta in
    degrees (None where not annotated) with `viewpoint`, which is "fine", "coarse" or "none".

    Raises DataError if a category is unknown, or a list or record is missing or unreadable.
    """
    options = spec.options(Pascal3DOptions)
    categories = chosen_categories(options.category, tuple(ANCHORS), spec.text)
    layout = join({category: keypoints_of(category) for category in categories})
    left_out: Counter[str] = Counter()
    samples = [
        sample
        for category in categories
        for sample in _samples(spec.path, category, split, options, layout, left_out)
    ]
    marks_hidden = any((sample.visibility == HIDDEN).any() for sample in samples)
    return KeypointDataset(
        spec.text, split, layout.keypoints, samples, "box", marks_hidden, left_out=dict(left_out)
    )


def _samples(
    root: Path,
    category: str,
    split: Split,
    options: Pascal3DOptions,
    layout: JointLayout,
    left_out: Counter[str],
) -> Iterator[Sample]:
    """The samples of one category; a record may hold objects of others."""
    names = keypoints_of(category).names
    for source, listed in _lists(root, category, options, split):
        folder = f"{category}_{source}"
        for name in listed:
            record = read_record(root / "Annotations" / folder / f"{name}.mat")
            image = root / "Images" / folder / (record.filename or f"{name}.jpg")
            for thing in labelled_objects(record, category, names, options, left_out):
                points, visibility = layout.place(category, thing.keypoints, thing.visibility)
                key = f"{folder}/{name}#{thing.number}"
                yield Sample(image, points, visibility, thing.box, key, {**thing.meta, "source": source})


def _lists(root: Path, category: str, options: Pascal3DOptions, split: Split) -> list[tuple[str, list[str]]]:
    """(source, image names) for each list of the split. Raises DataError if there is none."""
    sources = ("pascal", "imagenet") if options.source == "all" else (options.source,)
    lists = [(source, _image_names(root, category, source, split)) for source in sources]
    found = [(source, names) for source, names in lists if names is not None]
    if not found:
        raise DataError(
            f"{root} has no image list for {category} ({' or '.join(sources)}): "
            "give the folder that holds Annotations, Images and Image_sets"
        )
    return found


def _image_names(root: Path, category: str, source: str, split: Split) -> list[str] | None:
    """The names in the list of a split, without their suffix; None where the release has no such list."""
    part = "train" if split == "train" else "val"
    own = root / "Image_sets" / f"{category}_{source}_{part}.txt"
    if own.is_file():
        return read_names(own)
    voc = root / "PASCAL/VOCdevkit/VOC2012/ImageSets/Main" / f"{category}_{part}.txt"
    if source != "pascal" or not voc.is_file():
        return None
    annotations = root / "Annotations" / f"{category}_pascal"  # VOC lists images that PASCAL3D+ left out
    return [name for name in read_names(voc, without="-1") if (annotations / f"{name}.mat").is_file()]

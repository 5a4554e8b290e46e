"""PASCAL3D+, release 1.1: one sample for each object of a category, or of several.

The folder holds `Annotations/{category}_{source}/*.mat`, `Images/{category}_{source}/` and
`Image_sets/{category}_{source}_{train,val}.txt`, where source is `pascal` or `imagenet`. The published
release has lists for `imagenet` only; those for `pascal` are then VOC's own, in
`PASCAL/VOCdevkit/VOC2012/ImageSets/Main`.

The published validation lists are our test split, as there is no test list. Our validation split is a tenth of the
images of the training list (train/data/division.py): of each category, source and half of the azimuths, so that there
are some of each. Which images these are does not depend on what else is asked for: the parameters leave out objects,
they never move one to another split. In a data set of several categories, an image that is held out for one of them is
held out for all.

An anchor of status 1 is visible; with another status it is hidden where it has a location all the same, else
unlabelled. Objects without any labelled anchor are left out.

`category=car,bus` or `category=all` gives one data set with the keypoints of all of them (train/data/joint.py);
`azimuth=seen` or `unseen` keeps one half of the viewpoints (train/data/azimuth.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from coke_edge.errors import DataError
from coke_edge.files import is_there
from coke_edge.train.data.azimuth import Half
from coke_edge.train.data.division import held_out
from coke_edge.train.data.joint import JointLayout, chosen_categories, join
from coke_edge.train.data.lists import read_names
from coke_edge.train.data.pascal3d_anchors import ANCHORS, keypoints_of
from coke_edge.train.data.records import Labelled, ObjectOptions, halves_of, labelled_objects, read_record
from coke_edge.train.data.sample import HIDDEN, KeypointDataset, Sample, Split
from coke_edge.train.data.spec import DatasetSpec

Source = Literal["pascal", "imagenet"]
List = Literal["train", "val"]  # what the release calls its lists


class Pascal3DOptions(ObjectOptions, frozen=True):
    """The parameters of `pascal3d:`."""

    source: Literal["all", "pascal", "imagenet"] = "all"

    @property
    def sources(self) -> tuple[Source, ...]:
        """The parts of the release that are read."""
        return ("pascal", "imagenet") if self.source == "all" else (self.source,)


class ListedImage(NamedTuple):
    """An image on the list of one category, and what its record says of that category."""

    category: str
    source: Source
    name: str  # as the list has it; the same picture may be listed for other categories
    image: Path
    objects: list[Labelled]  # those that are kept
    left_out: Counter[str]
    halves: set[Half | None]  # of all labelled objects, kept or not


def load_pascal3d(spec: DatasetSpec, split: Split) -> KeypointDataset:
    """The objects of one or several categories in one split.

    Meta of a sample: category, source, truncated, occluded, difficult, and azimuth, elevation, theta in
    degrees (None where not annotated) with `viewpoint`, which is "fine", "coarse" or "none".

    Raises DataError if a category is unknown, or a list or record is missing or unreadable.
    """
    options = spec.options(Pascal3DOptions)
    categories = chosen_categories(options.category, tuple(ANCHORS), spec.text)
    layout = join({category: keypoints_of(category) for category in categories})
    listed = [one for category in categories for one in _listed(spec.path, category, options, split)]
    if split != "test":
        tested = {category: _tested(spec.path, category, options) for category in categories}
        listed = _of_training_lists(listed, tested, split)
    samples = [_sample(one, thing, layout) for one in listed for thing in one.objects]
    left_out = sum((one.left_out for one in listed), Counter[str]())
    marks_hidden = any((sample.visibility == HIDDEN).any() for sample in samples)
    return KeypointDataset(
        spec.text, split, layout.keypoints, samples, "box", marks_hidden, left_out=dict(left_out)
    )


def _of_training_lists(
    listed: list[ListedImage], tested: Mapping[str, set[str]], split: Split
) -> list[ListedImage]:
    """Those of the training lists' images that are for `split`, train or val; `tested` has each category's test images.

    What a category holds out depends on its own lists alone, so that a model of several has trained on no image that a
    model of one is validated on. Only then are the images left out that some category tests on.
    """
    groups: defaultdict[tuple[str, str, Half | None], set[str]] = defaultdict(set)
    for one in listed:
        if one.name not in tested[one.category]:
            for half in one.halves:
                groups[one.category, one.source, half].add(one.name)
    held, for_test = held_out(groups.values()), set[str]().union(*tested.values())
    return [one for one in listed if one.name not in for_test and (one.name in held) == (split == "val")]


def _sample(one: ListedImage, thing: Labelled, layout: JointLayout) -> Sample:
    points, visibility = layout.place(one.category, thing.keypoints, thing.visibility)
    key = f"{one.category}_{one.source}/{one.name}#{thing.number}"
    return Sample(one.image, points, visibility, thing.box, key, {**thing.meta, "source": one.source})


def _listed(root: Path, category: str, options: Pascal3DOptions, split: Split) -> Iterator[ListedImage]:
    """The images of one category. Raises DataError if there is no list of them."""
    part: List = "val" if split == "test" else "train"
    lists = {source: _image_names(root, category, source, part) for source in options.sources}
    if all(names is None for names in lists.values()):
        raise DataError(
            f"{root} has no image list for {category} ({' or '.join(lists)}): "
            "give the folder that holds Annotations, Images and Image_sets"
        )
    for source, names in lists.items():
        for name in names or ():
            yield _listed_image(root, category, source, name, options)


def _listed_image(
    root: Path, category: str, source: Source, name: str, options: Pascal3DOptions
) -> ListedImage:
    folder, names, left_out = f"{category}_{source}", keypoints_of(category).names, Counter[str]()
    record = read_record(root / "Annotations" / folder / f"{name}.mat")
    return ListedImage(
        category,
        source,
        name,
        root / "Images" / folder / (record.filename or f"{name}.jpg"),
        list(labelled_objects(record, category, names, options, left_out)),
        left_out,
        halves_of(record, category, names),
    )


def _tested(root: Path, category: str, options: Pascal3DOptions) -> set[str]:
    """The names of the images on the validation lists of a category: they are for the test."""
    lists = [_image_names(root, category, source, "val") for source in options.sources]
    return {name for names in lists for name in names or ()}


def _image_names(root: Path, category: str, source: Source, part: List) -> list[str] | None:
    """The names in a list, without their suffix; None where the release has no such list."""
    own = root / "Image_sets" / f"{category}_{source}_{part}.txt"
    if is_there(own):
        return read_names(own)
    voc = root / "PASCAL/VOCdevkit/VOC2012/ImageSets/Main" / f"{category}_{part}.txt"
    if source != "pascal" or not is_there(voc):
        return None
    annotations = root / "Annotations" / f"{category}_pascal"  # VOC lists images that PASCAL3D+ left out
    return [name for name in read_names(voc, without="-1") if is_there(annotations / f"{name}.mat")]

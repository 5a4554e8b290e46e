"""MPII Human Pose: one sample for each labelled person.

    mpii:FOLDER          with `mpii_human_pose_v1_u12_1.mat` in it (or in `mpii_human_pose_v1_u12_2/`)
    mpii:FILE.mat        that file                          train/data/mpii_mat.py
    mpii:FILE.json       the list that toolkits share       train/data/mpii_json.py
    mpii:FILE.h5         `valid.h5`, `train.h5`             train/data/mpii_h5.py

Parameters
    images      folder of the images; default: `images/` beside the file, or the file's own folder
    test        list of the images that are for the test, as text; else a tenth of the labelled images, seeded
    split=all   every person in every split, for a file that is one split already
    persons     all, or `separated`: those that the .mat marks as far enough from others
    heads       valid.h5, to have head sizes for a JSON file
    seed        of the division

The labels of the test images are not published, so what is held out of the others is our test split: the field's usual
validation images, where their list is given. Our validation split is a tenth of the images that are left
(train/data/division.py). Both divisions go by the images with a usable person, whoever of them is asked for.

Left out, and counted: persons without a labelled joint, persons without a scale or a place, who have no crop, and those
too near to others where `persons=separated` asks for it.

Measure: PCKh, distance ≤ 0.5 × head size, the head size being 0.6 × the diagonal of the head box. All annotated joints
count, hidden or not, less pelvis and thorax; joints are weighted by their number. Persons without a head box do not
count.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from coke_edge.errors import DataError
from coke_edge.files import is_there
from coke_edge.train.data.division import held_out
from coke_edge.train.data.lists import read_names
from coke_edge.train.data.mpii_h5 import read_mpii_h5
from coke_edge.train.data.mpii_json import read_mpii_json
from coke_edge.train.data.mpii_mat import read_mpii_mat
from coke_edge.train.data.mpii_person import KEYPOINTS, UNSCORED, Person
from coke_edge.train.data.sample import HIDDEN, KeypointDataset, Split
from coke_edge.train.data.spec import DatasetSpec

FILE = "mpii_human_pose_v1_u12_1.mat"
FOLDERS = ("", "mpii_human_pose_v1_u12_2", "mpii_human_pose_v1_u12_1", "annotations")
READERS = {".mat": read_mpii_mat, ".json": read_mpii_json, ".h5": read_mpii_h5}
SAME_PLACE = 1.0  # px between the centres of a person in two files


class MpiiOptions(msgspec.Struct, frozen=True):
    """The parameters of `mpii:`, see the module."""

    images: str = ""
    test: str = ""
    split: Literal["", "all"] = ""
    persons: Literal["all", "separated"] = "all"
    heads: str = ""
    seed: int = 0


def load_mpii(spec: DatasetSpec, split: Split) -> KeypointDataset:
    """The labelled persons of one split; a sample's meta has `head_size`, NaN where it is not known.

    Raises DataError if the annotations are missing or unreadable, or a parameter does not fit them.
    """
    options = spec.options(MpiiOptions)
    path = _annotations(spec.path)
    read = READERS.get(path.suffix)
    if read is None:
        raise DataError(f"{path}: MPII's annotations are a .mat, .json or .h5 file, this is none")
    people = read(path)
    if options.heads:
        people = _with_heads(people, Path(options.heads).expanduser())
    usable = [person for person in people if person.lacks is None]
    kept = _images_of_split(usable, options, split)
    folder = _image_folder(path, options)
    people_of_split = [person for person in usable if person.image in kept]
    wanted = [person for person in people_of_split if person.separated or options.persons == "all"]
    samples = [person.sample(folder / person.image) for person in wanted]
    left_out = Counter(person.lacks for person in people if person.lacks is not None)
    if near := len(people_of_split) - len(wanted):
        left_out["too near to others"] = near
    return KeypointDataset(
        spec.text,
        split,
        KEYPOINTS,
        samples,
        "head",
        any((sample.visibility == HIDDEN).any() for sample in samples),
        UNSCORED,
        counts_hidden=True,
        left_out=dict(left_out),
    )


def _annotations(path: Path) -> Path:
    """The annotation file that a folder holds, or the file itself."""
    if not is_there(path, folder=True):
        return path
    candidates = [path / folder / FILE for folder in FOLDERS]
    return next((file for file in candidates if is_there(file)), candidates[0])


def _image_folder(annotations: Path, options: MpiiOptions) -> Path:
    if options.images:
        return Path(options.images).expanduser()
    beside = annotations.parent
    candidates = (beside / "images", beside.parent / "images")
    return next((folder for folder in candidates if is_there(folder, folder=True)), beside)


def _images_of_split(people: list[Person], options: MpiiOptions, split: Split) -> set[str]:
    """The names of the images of a split. Raises DataError if the list of test images is of other images."""
    images = {person.image for person in people}
    if options.split == "all":
        return images
    if options.test:
        listed = set(read_names(Path(options.test).expanduser()))
        tested = {image for image in images if Path(image).stem in listed}
        if images and not tested:
            raise DataError(
                f"{options.test} names none of the annotated images, so nothing would be held out: give the list of "
                "their own test images"
            )
    else:
        tested = held_out([images], options.seed)
    if split == "test":
        return tested
    # Of those with a separated person a tenth too, so that `persons=separated` finds some.
    training = images - tested
    validated = held_out([training, training & {p.image for p in people if p.separated}], options.seed)
    return validated if split == "val" else training - validated


def _with_heads(people: list[Person], path: Path) -> list[Person]:
    """The persons with the head sizes that `path` has for them. Raises DataError if it knows none of them."""
    known: dict[str, list[Person]] = {}
    for person in read_mpii_h5(path):
        known.setdefault(person.image, []).append(person)
    found = [dataclasses.replace(p, head_size=_head_size(p, known.get(p.image, []))) for p in people]
    if not any(np.isfinite(person.head_size) for person in found):
        raise DataError(f"{path} has the head size of no person in the annotations: it is for other images")
    return found


def _head_size(person: Person, others: list[Person]) -> float:
    """That of the one at the same place among the persons of an image, if it is known; else the person's own."""
    for other in others:
        if (
            person.box is not None
            and other.box is not None
            and np.abs(person.box - other.box).max() < SAME_PLACE
            and np.isfinite(other.head_size)
        ):
            return other.head_size
    return person.head_size

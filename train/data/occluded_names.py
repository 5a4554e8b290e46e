"""What a set of occluded images says of itself, and what its files are called (train/data/occluded_write.py)."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import msgspec

from coke_edge.errors import DataError
from coke_edge.files import is_there
from coke_edge.train.data.sample import KeypointDataset, Sample, Split
from coke_edge.train.occluders import Part

VERSION = 2  # raise it when the files of a seed change
INFO = "occluded.json"
FOLDER, SUMMARY = "occluder_folder", "summary"  # in it, but no part of what decides the images
OBJECT = re.compile(r"#(\d+)$")  # of the keys of …
RECORDS = ("pascal3d", "objectnet3d")  # … these: the number of the object in its record


class Written(msgspec.Struct):
    """What `occluded.json` says of the data set that was covered, and of what covers it."""

    version: int
    data: str  # its scheme
    split: Split
    occluder_folder: str = ""  # its last word
    occluder_part: Part = ""
    occluder_files: dict[str, int] = {}  # names and sizes in bytes


class Place(NamedTuple):
    """Where the image of an object is written."""

    category: str
    name: str


def read_written(folder: Path) -> Written | None:
    """What was written into a folder; None if it is not one of ours. Raises DataError if its description is damaged."""
    path = folder / INFO
    if not is_there(path):
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Written)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): write the folder again with `coke-edge data occlude`"
        ) from error


def scheme_of(dataset: KeypointDataset) -> str:
    """The first word of the data set's specification."""
    return dataset.name.partition(":")[0]


def number_in_record(sample: Sample, dataset: KeypointDataset) -> int | None:
    """The number of the object in its record, from 0; None if it comes from none."""
    found = OBJECT.search(sample.key) if scheme_of(dataset) in RECORDS else None
    return int(found[1]) if found else None


def places_of(dataset: KeypointDataset) -> list[Place]:
    """For each sample, where its image goes; no two alike."""
    plain = [_plain_place(sample, dataset) for sample in dataset.samples]
    objects, seen, found = Counter(plain), Counter[Place](), []
    for place, sample in zip(plain, dataset.samples, strict=True):
        in_record = number_in_record(sample, dataset)
        number = seen[place] if in_record is None else in_record
        seen[place] += 1
        found.append(place._replace(name=f"{place.name}.{number}") if objects[place] > 1 else place)
    twice, count = Counter(found).most_common(1)[0]
    if count > 1:
        raise DataError(f"{dataset.name}: {count} images would be called {twice.name}, rename the originals")
    return found


def folder_of(category: str, level: str) -> str:
    """The folder of a category at a level, such as carFGL1_BGL1."""
    return f"{category}FG{level}_BG{level}"


def _plain_place(sample: Sample, dataset: KeypointDataset) -> Place:
    category = str(sample.meta.get("category") or scheme_of(dataset))
    return Place(re.sub(r"[^\w-]", "_", category), sample.image.stem)

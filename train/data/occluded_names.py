"""What the files of a written set of occluded images are called (train/data/occluded_write.py)."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from coke_edge.errors import DataError
from coke_edge.train.data.sample import KeypointDataset, Sample

OBJECT = re.compile(r"#(\d+)$")  # of the keys of …
RECORDS = ("pascal3d", "objectnet3d")  # … these: the number of the object in its record


class Place(NamedTuple):
    """Where the image of an object is written."""

    category: str
    name: str


def scheme_of(dataset: KeypointDataset) -> str:
    """The first word of the data set's specification."""
    return dataset.name.partition(":")[0]


def places_of(dataset: KeypointDataset) -> list[Place]:
    """For each sample, where its image goes; no two alike."""
    plain = [_plain_place(sample, dataset) for sample in dataset.samples]
    objects, seen, found = Counter(plain), Counter[Place](), []
    for place, sample in zip(plain, dataset.samples, strict=True):
        in_record = OBJECT.search(sample.key) if scheme_of(dataset) in RECORDS else None
        number = in_record[1] if in_record else str(seen[place])
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

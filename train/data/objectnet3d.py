"""ObjectNet3D: one sample for each object of a category, or of several, of its hundred.

The folder is flat: `Annotations/NAME.mat`, `Images/NAME.JPEG` and `Image_sets/{train,val,test}.txt` with a name on
each line; an image may show objects of several categories. The records are those of PASCAL3D+ (train/data/records.py),
as are coordinates, visibility and the parameters `category`, `azimuth`, `truncated`, `occluded` and `difficult`. The
splits are the lists: without a test list there is no test split. The CAD models are not needed.

Anchors are missing from many records: objects without any labelled one are left out and counted. No table says which
anchors a category has, so their names are gathered from the records of the training list, in alphabetical order; for
that the training list is read whatever the split. The whole data set has 90,127 records, so this takes a while.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from coke_edge.errors import DataError
from coke_edge.files import is_there
from coke_edge.manifest import Keypoints2D
from coke_edge.train.data.flips import flip_pairs_by_name
from coke_edge.train.data.joint import JointLayout, chosen_categories, join
from coke_edge.train.data.lists import read_names
from coke_edge.train.data.pascal3d_anchors import LINES, edges_of
from coke_edge.train.data.records import ObjectOptions, anchor_names, labelled_objects, read_record
from coke_edge.train.data.sample import HIDDEN, KeypointDataset, NoSuchSplit, Sample, Split
from coke_edge.train.data.spec import DatasetSpec

NAMES_OF_CATEGORIES = """
aeroplane ashtray backpack basket bed bench bicycle blackboard boat bookshelf bottle bucket bus cabinet calculator
camera can cap car cellphone chair clock coffee_maker comb computer cup desk_lamp diningtable dishwasher door eraser
eyeglasses fan faucet filing_cabinet fire_extinguisher fish_tank flashlight fork guitar hair_dryer hammer headphone
helmet iron jar kettle key keyboard knife laptop lighter mailbox microphone microwave motorbike mouse paintbrush pan
pen pencil piano pillow plate pot printer racket refrigerator remote_control rifle road_pole satellite_dish scissors
screwdriver shoe shovel sign skate skateboard slipper sofa speaker spoon stapler stove suitcase teapot telephone
toaster toilet toothbrush train trash_bin trophy tub tvmonitor vending_machine washing_machine watch wheelchair
"""
CATEGORIES = tuple(NAMES_OF_CATEGORIES.split())
SUFFIX = ".JPEG"


def load_objectnet3d(spec: DatasetSpec, split: Split) -> KeypointDataset:
    """The objects of one or several categories in one split.

    `category=all` is every category whose records have anchors. Meta of a sample: as PASCAL3D+'s, without source.

    Raises DataError if a category is unknown or has no anchors, or a list or record is missing or unreadable,
    NoSuchSplit where there is no test list.
    """
    options = spec.options(ObjectOptions)
    categories = chosen_categories(options.category, CATEGORIES, spec.text)
    listed = _listed(spec.path, split)
    layouts = _layouts(spec.path, categories)
    bare = [category for category in categories if category not in layouts]
    if not layouts or (bare and options.category != "all"):
        raise DataError(
            f"{spec.text}: no record of the training list has anchors for {bare[0]}, so it has no keypoints to learn"
        )
    layout = join(layouts)
    left_out: Counter[str] = Counter()
    samples = list(_samples(spec.path, listed, layouts, layout, options, left_out))
    marks_hidden = any((sample.visibility == HIDDEN).any() for sample in samples)
    return KeypointDataset(
        spec.text, split, layout.keypoints, samples, "box", marks_hidden, left_out=dict(left_out)
    )


def _listed(root: Path, split: Split) -> list[str]:
    path = root / "Image_sets" / f"{split}.txt"
    if split == "test" and not is_there(path):
        raise NoSuchSplit(f"{root} has no list of test images, use --split val")
    return read_names(path)


def _layouts(root: Path, categories: tuple[str, ...]) -> dict[str, Keypoints2D]:
    """The keypoints of each category whose training records have anchors."""
    found: dict[str, set[str]] = {}
    for name in _listed(root, "train"):
        record = read_record(_record_path(root, name))
        for category in categories:
            found.setdefault(category, set()).update(anchor_names(record, category))
    return {
        category: _layout(category, sorted(found[category])) for category in categories if found.get(category)
    }


def _layout(category: str, names: list[str]) -> Keypoints2D:
    """Keypoints of these names, with PASCAL3D+'s lines where the category and its anchors are the same there."""
    return Keypoints2D(tuple(names), edges_of(LINES.get(category, ()), names), flip_pairs_by_name(names))


def _record_path(root: Path, name: str) -> Path:
    return root / "Annotations" / f"{name}.mat"


def _samples(
    root: Path,
    listed: list[str],
    layouts: dict[str, Keypoints2D],
    layout: JointLayout,
    options: ObjectOptions,
    left_out: Counter[str],
) -> Iterator[Sample]:
    for name in listed:
        record = read_record(_record_path(root, name))
        for category, keypoints in layouts.items():
            for thing in labelled_objects(record, category, keypoints.names, options, left_out):
                points, visibility = layout.place(category, thing.keypoints, thing.visibility)
                image = root / "Images" / f"{name}{SUFFIX}"
                yield Sample(image, points, visibility, thing.box, f"{name}#{thing.number}", thing.meta)

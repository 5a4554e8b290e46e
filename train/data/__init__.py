"""Data sets: each is named by a specification and turned into samples of one kind."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from coke_edge.errors import DataError
from coke_edge.files import is_there
from coke_edge.train.data.sample import KeypointDataset, NoObjects, Split
from coke_edge.train.data.spec import DatasetSpec, parse_spec

Loader = Callable[[DatasetSpec, Split], KeypointDataset]

LOADERS = {
    "lsp": ("lsp", "load_lsp"),
    "pascal3d": ("pascal3d", "load_pascal3d"),
    "occluded-pascal3d": ("occluded_pascal3d", "load_occluded_pascal3d"),
    "occluded": ("occluded", "load_occluded"),
    "objectnet3d": ("objectnet3d", "load_objectnet3d"),
    "mpii": ("mpii", "load_mpii"),
    "coco": ("coco", "load_coco"),
}


def load_dataset(spec: str, split: Split, *, require_images: bool = True) -> KeypointDataset:
    """The samples of one split of the data set that `spec` names.

    `spec` is one of (parameters are described in the modules of the same names):

        lsp:FOLDER
        pascal3d:FOLDER?category=car&azimuth=seen&source=all|pascal|imagenet&truncated=…&occluded=…&difficult=…
        occluded-pascal3d:FOLDER?pascal3d=FOLDER&category=car&level=L1|L2|L3 (and what pascal3d: takes, less source)
        occluded:FOLDER?level=L1|L2|L3, written by `coke-edge data occlude`
        objectnet3d:FOLDER?category=stapler (and what pascal3d: takes, less source)
        mpii:FOLDER_or_FILE?images=FOLDER&test=FILE.txt&persons=all|separated&split=all&seed=0&heads=FILE.h5
        coco:ANNOTATIONS.json?images=FOLDER&category=person&train=…&val=…&test=…&split=all&seed=0

    Where a category is asked for, several (`car,bus`) or `all` give one data set with the keypoints of each.

    Raises DataError if the specification, a file or an annotation cannot be used or, unless `require_images` is false,
    if images are missing; of the kinds NoSuchSplit and NoObjects if the split does not exist or is empty.
    """
    parsed = parse_spec(spec)
    if parsed.scheme not in LOADERS:
        known = ", ".join(f"{scheme}:" for scheme in LOADERS)
        raise DataError(f"'{spec}' names an unknown kind of data set, the known ones are {known}")
    module, function = LOADERS[parsed.scheme]
    loader: Loader = getattr(import_module(f"{__name__}.{module}"), function)
    dataset = loader(parsed, split)
    if not dataset.samples:
        raise NoObjects(_nothing(dataset))
    if require_images:
        _require_images(dataset)
    return dataset


def _nothing(dataset: KeypointDataset) -> str:
    """One sentence on an empty split."""
    sentence = f"{dataset.name} has no labelled object in its {dataset.split} split"
    if not dataset.left_out:
        return f"{sentence}: add annotated images, or ask for another split"
    reasons = ", ".join(f"{count} {reason}" for reason, count in dataset.left_out.items())
    return f"{sentence} ({reasons} were left out): ask for others, or for another split"


def _require_images(dataset: KeypointDataset) -> None:
    images = list(dict.fromkeys(sample.image for sample in dataset.samples))
    missing = [image for image in images if not is_there(image)]
    if missing:
        raise DataError(
            f"{dataset.name}: {len(missing)} of the {len(images)} images of the {dataset.split} split "
            f"are missing, the first is {missing[0]}; `coke-edge data check` lists what is missing"
        )

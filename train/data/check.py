"""Looking through a data set before training on it: what is there, what is missing, what is odd."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

import msgspec
import numpy as np

from coke_edge.errors import DataError
from coke_edge.files import is_there
from coke_edge.manifest import Keypoints2D
from coke_edge.stream.images import read_image
from coke_edge.train.data import load_dataset
from coke_edge.train.data.flips import mirrored_name
from coke_edge.train.data.sample import (
    HIDDEN,
    UNLABELLED,
    VISIBLE,
    KeypointDataset,
    NoSuchSplit,
    Sample,
    Split,
)

TOLERANCE = 1.0  # pixels that a point or box may reach beyond the image before it is reported
LOPSIDED = 2.0  # times as many labels on one side as on the other is reported …
LOPSIDED_FROM = 20  # … from so many labels


class KeypointCount(msgspec.Struct):
    """How often one keypoint is what."""

    name: str
    visible: int
    hidden: int
    unlabelled: int


class SplitReport(msgspec.Struct):
    """One split; the lists hold file names or sample keys."""

    split: Split
    error: str | None = None  # why it cannot be loaded; everything else is then empty
    objects: int = 0
    images: int = 0
    keypoints: list[KeypointCount] = []
    missing: list[str] = []
    unreadable: list[str] = []
    points_outside: list[str] = []
    boxes_outside: list[str] = []
    duplicates: list[str] = []  # same picture and same keypoints as an earlier sample
    left_out: dict[str, int] = {}  # reason → objects that are not among the `objects`


class DataReport(msgspec.Struct):
    """What `check_dataset` finds; `usable` is false if a split or an image cannot be read."""

    data: str
    splits: list[SplitReport]
    in_train_and_held_out: list[str]  # images of val and test whose picture is also a training picture
    in_val_and_test: list[str]  # images of the test whose picture is also one of validation
    sides: list[str]  # sentences about left and right
    usable: bool = True


class Picture(msgspec.Struct):
    """What was found in an image file."""

    width: int = 0
    height: int = 0
    digest: bytes = b""
    missing: bool = False
    error: str = ""


def check_dataset(
    spec: str, splits: Sequence[Split], progress: Callable[[int, int], None] | None = None
) -> tuple[DataReport, list[KeypointDataset]]:
    """Load the splits, read every image, and report; also returns the splits that could be loaded.

    A split that the data set is published without is passed over if there is another.
    `progress` is told the number of images read and in all. Raises DataError if no split can be loaded.
    """
    loaded: list[KeypointDataset] = []
    errors: dict[Split, DataError] = {}
    unpublished: dict[Split, DataError] = {}
    for split in splits:
        try:
            loaded.append(load_dataset(spec, split, require_images=False))
        except NoSuchSplit as error:
            unpublished[split] = error
        except DataError as error:
            errors[split] = error
    if not loaded:
        raise next(iter([*errors.values(), *unpublished.values()]))
    pictures = _look_at({sample.image for dataset in loaded for sample in dataset.samples}, progress)
    by_split = {dataset.split: _report_split(dataset, pictures) for dataset in loaded}
    there = [split for split in splits if split not in unpublished]
    reports = [by_split.get(split) or SplitReport(split, error=str(errors[split])) for split in there]
    report = DataReport(
        spec,
        reports,
        _shared(loaded, pictures, ("train",), ("val", "test")),
        _shared(loaded, pictures, ("val",), ("test",)),
        _sides(loaded),
    )
    report.usable = not any(one.error or one.missing or one.unreadable for one in reports)
    return report, loaded


def _look_at(paths: Iterable[Path], progress: Callable[[int, int], None] | None) -> dict[Path, Picture]:
    ordered = sorted(paths)
    pictures: dict[Path, Picture] = {}
    with ThreadPoolExecutor() as pool:  # decoding lets other threads run
        for path, picture in zip(ordered, pool.map(_picture, ordered), strict=True):
            pictures[path] = picture
            if progress:
                progress(len(pictures), len(ordered))
    return pictures


def _picture(path: Path) -> Picture:
    if not is_there(path):
        return Picture(missing=True)
    try:
        image = read_image(path)
    except DataError as error:
        return Picture(error=str(error))
    height, width = image.shape[:2]
    return Picture(width, height, blake2b(image.data, digest_size=16).digest())


def _report_split(dataset: KeypointDataset, pictures: dict[Path, Picture]) -> SplitReport:
    visibility = np.stack([sample.visibility for sample in dataset.samples])
    images = sorted({sample.image for sample in dataset.samples})
    readable = [sample for sample in dataset.samples if pictures[sample.image].width]
    return SplitReport(
        split=dataset.split,  # type: ignore[arg-type]
        objects=len(dataset.samples),
        images=len(images),
        keypoints=[
            KeypointCount(
                name, *(int((visibility[:, k] == flag).sum()) for flag in (VISIBLE, HIDDEN, UNLABELLED))
            )
            for k, name in enumerate(dataset.keypoints.names)
        ],
        missing=[str(image) for image in images if pictures[image].missing],
        unreadable=[pictures[image].error for image in images if pictures[image].error],
        points_outside=[s.key for s in readable if _points_outside(s, pictures[s.image])],
        boxes_outside=[s.key for s in readable if _box_outside(s, pictures[s.image])],
        duplicates=_duplicates(readable, pictures),
        left_out=dict(dataset.left_out),
    )


def _points_outside(sample: Sample, picture: Picture) -> bool:
    points = sample.keypoints[sample.visibility != UNLABELLED]
    edge = 0.5 + TOLERANCE
    return bool(((points < -edge) | (points > (picture.width - 1 + edge, picture.height - 1 + edge))).any())


def _box_outside(sample: Sample, picture: Picture) -> bool:
    edge = 0.5 + TOLERANCE
    limits = (picture.width - 1 + edge, picture.height - 1 + edge)
    return bool((sample.box[:2] < -edge).any() or (sample.box[2:] > limits).any())


def _duplicates(samples: Sequence[Sample], pictures: dict[Path, Picture]) -> list[str]:
    seen: set[tuple[bytes, bytes]] = set()
    found = []
    for sample in samples:
        content = (pictures[sample.image].digest, np.nan_to_num(sample.keypoints, nan=-1).round(1).tobytes())
        if content in seen:
            found.append(sample.key)
        seen.add(content)
    return found


def _shared(
    datasets: Sequence[KeypointDataset],
    pictures: dict[Path, Picture],
    splits: Collection[str],
    others: Collection[str],
) -> list[str]:
    """Images of `others` that show the very picture of an image of `splits`."""
    known = {pictures[s.image].digest for d in datasets if d.split in splits for s in d.samples} - {b""}
    asked = {s.image for d in datasets if d.split in others for s in d.samples}
    return sorted(str(image) for image in asked if pictures[image].digest in known)


def _sides(datasets: Sequence[KeypointDataset]) -> list[str]:
    """Sentences about keypoints without a partner and about pairs labelled on one side only."""
    keypoints: Keypoints2D = datasets[0].keypoints
    paired = {k for pair in keypoints.flip_pairs for k in pair}
    sentences = [
        f"{name} names a side, but has no partner to swap with when an image is mirrored"
        for k, name in enumerate(keypoints.names)
        if mirrored_name(name) != name and k not in paired
    ]
    labelled = sum((np.stack([s.visibility for s in d.samples]) != UNLABELLED).sum(axis=0) for d in datasets)
    counts = np.asarray(labelled)
    for a, b in keypoints.flip_pairs:
        few, many = sorted((a, b), key=lambda k: int(counts[k]))
        if counts[many] >= LOPSIDED_FROM and counts[many] > LOPSIDED * counts[few]:
            sentences.append(
                f"{keypoints.names[many]} is labelled {counts[many]} times, "
                f"{keypoints.names[few]} {counts[few]} times"
            )
    return sentences

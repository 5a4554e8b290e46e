"""The annotation records that PASCAL3D+ and ObjectNet3D share: one `.mat` file with a struct `record` per image.

record: filename, imgsize, objects(k); an object: class, bbox, anchors.{name}.{location, status}, viewpoint.{azimuth,
azimuth_coarse, elevation, …, num_anchor}, truncated, occluded, difficult. Any of them may be missing or empty, and
`objects` is a struct or a struct array. Coordinates are MATLAB's (first pixel = 1), boxes include their last pixel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError
from coke_edge.train.data.azimuth import AzimuthHalf, Half, viewpoint_of
from coke_edge.train.data.mat import number, numbers, read_mat, structs, text
from coke_edge.train.data.sample import FAR, HIDDEN, UNLABELLED, VISIBLE, bounding_box

STATUS_VISIBLE = 1
MARKS = ("truncated", "occluded", "difficult")
NO_KEYPOINT = "without a labelled keypoint"


class ObjectOptions(msgspec.Struct, frozen=True):
    """Which objects of a record are kept: those marked so or not, and one half of the viewpoints or both."""

    category: str = ""
    truncated: bool = True
    occluded: bool = True
    difficult: bool = True
    azimuth: AzimuthHalf = ""


class Labelled(NamedTuple):
    """One object of a record; coordinates are frame pixels, pixel centres at integers."""

    number: int  # of the object in its record, from 0
    keypoints: NDArray[np.float32]  # [K, 2]
    visibility: NDArray[np.uint8]  # [K]
    box: NDArray[np.float32]  # [4]
    meta: dict[str, Any]  # the three marks, viewpoint, azimuth, elevation, theta


class Record(NamedTuple):
    """What one `.mat` file holds."""

    filename: str  # of the image, "" where the record does not say
    size: tuple[int, int] | None  # width and height of the image, None where the record does not say
    objects: list[Mapping[str, Any]]


def read_record(path: Path) -> Record:
    """The record in a file. Raises DataError if it is missing, unreadable or of another kind."""
    record = read_mat(path, "record")
    if not isinstance(record, Mapping):
        raise DataError(f"{path}: 'record' is no struct, so this is no record of PASCAL3D+ or ObjectNet3D")
    size = numbers(record.get("imgsize"))[:2]
    known = len(size) == 2 and bool(((size >= 1) & (size < FAR)).all())
    return Record(
        Path(text(record.get("filename"))).name,  # a name alone: the folder is ours to choose
        (int(size[0]), int(size[1])) if known else None,
        structs(record.get("objects")),
    )


def labelled_objects(
    record: Record, category: str, names: Sequence[str], options: ObjectOptions, left_out: Counter[str]
) -> Iterator[Labelled]:
    """The objects of a category that are kept and have a labelled keypoint; the others are counted in `left_out`."""
    for index, thing in enumerate(record.objects):
        if text(thing.get("class")) != category:
            continue
        reason = _reason_against(thing, options)
        points, visibility = _anchors(thing.get("anchors"), names)
        if reason is None and not visibility.any():
            reason = NO_KEYPOINT
        if reason is not None:
            left_out[reason] += 1
            continue
        box = _box(thing.get("bbox"))
        yield Labelled(
            index,
            points,
            visibility,
            bounding_box(points) if box is None else box,
            {"category": category, **_marks(thing), **viewpoint_of(thing)._asdict()},
        )


def anchor_names(record: Record, category: str) -> list[str]:
    """The names of all anchors that the record's objects of a category have, located or not."""
    found: dict[str, None] = {}
    for thing in record.objects:
        anchors = thing.get("anchors")
        if text(thing.get("class")) == category and isinstance(anchors, Mapping):
            found |= dict.fromkeys(map(str, anchors))
    return list(found)


def halves_of(record: Record, category: str, names: Sequence[str]) -> set[Half | None]:
    """The halves of the azimuths from which the record's labelled objects of a category are seen.

    None stands for those without a viewpoint.
    """
    return {
        viewpoint_of(thing).half
        for thing in record.objects
        if text(thing.get("class")) == category and _anchors(thing.get("anchors"), names)[1].any()
    }


def _reason_against(thing: Mapping[str, Any], options: ObjectOptions) -> str | None:
    """Why an object is not kept, as a phrase; None if it is."""
    for mark, marked in _marks(thing).items():
        if marked and not getattr(options, mark):
            return f"marked {mark}"
    if not options.azimuth:
        return None
    half = viewpoint_of(thing).half
    if half is None:
        return "without a viewpoint"
    return None if half == options.azimuth else f"of the {half} azimuths"


def _anchors(anchors: Any, names: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Locations [K, 2] from 0 and visibility [K]; anchors may be missing or empty, all or one by one."""
    points = np.full((len(names), 2), np.nan, dtype=np.float32)
    visibility = np.full(len(names), UNLABELLED, dtype=np.uint8)
    for k, name in enumerate(names):
        anchor = anchors.get(name) if isinstance(anchors, Mapping) else None
        if not isinstance(anchor, Mapping):
            continue
        location = numbers(anchor.get("location"))
        if len(location) == 2 and (np.abs(location) < FAR).all():
            points[k] = location - 1
            visibility[k] = VISIBLE if number(anchor.get("status")) == STATUS_VISIBLE else HIDDEN
    return points, visibility


def _box(bbox: Any) -> NDArray[np.float32] | None:
    """From first and last pixel, counted from 1, to the edges of the pixels; None where it is empty."""
    values = numbers(bbox)
    if len(values) != 4 or not (np.abs(values) < FAR).all() or (values[2:] < values[:2]).any():
        return None
    return np.asarray(values - (1.5, 1.5, 0.5, 0.5), dtype=np.float32)


def _marks(thing: Mapping[str, Any]) -> dict[str, bool]:
    return {name: bool(number(thing.get(name))) for name in MARKS}

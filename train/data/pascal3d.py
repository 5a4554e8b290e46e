"""PASCAL3D+, release 1.1: one sample for each object of a category.

The folder holds `Annotations/{category}_{source}/*.mat`, `Images/{category}_{source}/` and
`Image_sets/{category}_{source}_{train,val}.txt`, where source is `pascal` or `imagenet`. The published
release has lists for `imagenet` only; those for `pascal` are then VOC's own, in
`PASCAL/VOCdevkit/VOC2012/ImageSets/Main`. There is no test list: the splits val and test are the same.

Coordinates are MATLAB's (first pixel = 1), boxes include their last pixel, as in VOC. An anchor of status 1
is visible; with another status it is hidden where it has a location all the same, else unlabelled. Objects
without any labelled anchor are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError
from coke_edge.train.data.mat import read_mat
from coke_edge.train.data.pascal3d_anchors import ANCHORS, keypoints_of
from coke_edge.train.data.sample import (
    HIDDEN,
    UNLABELLED,
    VISIBLE,
    KeypointDataset,
    Sample,
    Split,
    bounding_box,
)
from coke_edge.train.data.spec import DatasetSpec

Record = Mapping[str, Any]
STATUS_VISIBLE = 1


class Pascal3DOptions(msgspec.Struct, frozen=True):
    """The parameters of `pascal3d:`; the last three say whether to keep objects that are marked so."""

    category: str = ""
    source: Literal["all", "pascal", "imagenet"] = "all"
    truncated: bool = True
    occluded: bool = True
    difficult: bool = True


def load_pascal3d(spec: DatasetSpec, split: Split) -> KeypointDataset:
    """The objects of one category in one split.

    Meta of a sample: category, source, truncated, occluded, difficult, and azimuth, elevation, theta in
    degrees (None where not annotated) with `viewpoint`, which is "fine", "coarse" or "none".

    Raises DataError if the category is unknown, or a list or record is missing or unreadable.
    """
    options = spec.options(Pascal3DOptions)
    if options.category not in ANCHORS:
        raise DataError(f"{spec.text}: add ?category= with one of {', '.join(ANCHORS)}")
    keypoints = keypoints_of(options.category)
    sources = ("pascal", "imagenet") if options.source == "all" else (options.source,)
    lists = [(source, _image_names(spec.path, options.category, source, split)) for source in sources]
    found = [(source, names) for source, names in lists if names is not None]
    if not found:
        raise DataError(
            f"{spec.path} has no image list for {options.category} ({' or '.join(sources)}): "
            "give the folder that holds Annotations, Images and Image_sets"
        )
    samples = [
        sample
        for source, names in found
        for name in names
        for sample in _samples(spec.path, source, name, options, keypoints.names)
    ]
    marks_hidden = any((sample.visibility == HIDDEN).any() for sample in samples)
    return KeypointDataset(spec.text, split, keypoints, samples, "box", marks_hidden)


def _image_names(root: Path, category: str, source: str, split: Split) -> list[str] | None:
    """The names in the list of a split, without their suffix; None where the release has no such list."""
    part = "train" if split == "train" else "val"
    own = root / "Image_sets" / f"{category}_{source}_{part}.txt"
    if own.is_file():
        return [Path(line.split()[0]).stem for line in own.read_text().splitlines() if line.strip()]
    voc = root / "PASCAL/VOCdevkit/VOC2012/ImageSets/Main" / f"{category}_{part}.txt"
    if source != "pascal" or not voc.is_file():
        return None
    rows = [line.split() for line in voc.read_text().splitlines() if line.strip()]
    annotations = root / "Annotations" / f"{category}_pascal"  # VOC lists images that PASCAL3D+ left out
    return [row[0] for row in rows if row[1] != "-1" and (annotations / f"{row[0]}.mat").is_file()]


def _samples(
    root: Path, source: str, name: str, options: Pascal3DOptions, anchor_names: tuple[str, ...]
) -> Iterator[Sample]:
    """The samples of one record, which may hold objects of several categories."""
    folder = f"{options.category}_{source}"
    path = root / "Annotations" / folder / f"{name}.mat"
    record = read_mat(path, "record")
    if not isinstance(record, Mapping):
        raise DataError(f"{path}: 'record' is no struct, so this is no record of PASCAL3D+")
    image = root / "Images" / folder / str(record.get("filename") or f"{name}.jpg")
    for number, thing in enumerate(_structs(record.get("objects"))):
        if thing.get("class") != options.category or not _kept(thing, options):
            continue
        points, visibility = _anchors(thing.get("anchors"), anchor_names)
        if visibility.any():
            box = _box(thing.get("bbox"))
            yield Sample(
                image,
                points,
                visibility,
                bounding_box(points) if box is None else box,
                key=f"{folder}/{name}#{number}",
                meta={"category": options.category, "source": source, **_flags(thing), **_viewpoint(thing)},
            )


def _structs(value: Any) -> list[Record]:
    """A struct array, a single struct or nothing, as a list."""
    if isinstance(value, Mapping):
        return [value]
    return [item for item in np.ravel(value) if isinstance(item, Mapping)] if value is not None else []


def _anchors(anchors: Any, names: tuple[str, ...]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Locations [K, 2] from 0 and visibility [K]; anchors may be missing or empty, all or one by one."""
    points = np.full((len(names), 2), np.nan, dtype=np.float32)
    visibility = np.full(len(names), UNLABELLED, dtype=np.uint8)
    for k, name in enumerate(names):
        anchor = anchors.get(name) if isinstance(anchors, Mapping) else None
        if not isinstance(anchor, Mapping):
            continue
        location = _numbers(anchor.get("location"))
        if len(location) == 2 and np.isfinite(location).all():
            points[k] = location - 1
            visibility[k] = VISIBLE if _number(anchor.get("status")) == STATUS_VISIBLE else HIDDEN
    return points, visibility


def _box(bbox: Any) -> NDArray[np.float32] | None:
    """From first and last pixel, counted from 1, to the edges of the pixels; None where it is empty."""
    values = _numbers(bbox)
    if len(values) != 4 or not np.isfinite(values).all() or (values[2:] < values[:2]).any():
        return None
    return np.asarray(values - (1.5, 1.5, 0.5, 0.5), dtype=np.float32)


def _flags(thing: Record) -> dict[str, bool]:
    return {name: bool(_number(thing.get(name))) for name in ("truncated", "occluded", "difficult")}


def _kept(thing: Record, options: Pascal3DOptions) -> bool:
    return all(getattr(options, name) or not marked for name, marked in _flags(thing).items())


def _viewpoint(thing: Record) -> dict[str, Any]:
    """Angles in degrees. Those fitted to fewer than two anchors mean nothing, the coarse ones still do."""
    view = thing.get("viewpoint")
    view = view if isinstance(view, Mapping) else {}
    fine = {name: _number(view.get(name)) for name in ("azimuth", "elevation", "theta")}
    if (_number(view.get("num_anchor")) or 0) >= 2 and fine["azimuth"] is not None:
        return {"viewpoint": "fine", **fine}
    coarse = {name: _number(view.get(f"{name}_coarse")) for name in ("azimuth", "elevation")}
    return {"viewpoint": "none" if coarse["azimuth"] is None else "coarse", **coarse, "theta": None}


def _numbers(value: Any) -> NDArray[np.float64]:
    """A numeric array, flat; empty where there is nothing numeric."""
    array = np.ravel(np.asarray(value if value is not None else []))
    return array.astype(np.float64) if array.dtype.kind in "biuf" else np.empty(0)


def _number(value: Any) -> float | None:
    """A single finite number, or None: MATLAB writes an empty matrix for what is not annotated."""
    values = _numbers(value)
    return float(values[0]) if len(values) == 1 and np.isfinite(values[0]) else None

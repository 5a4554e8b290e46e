"""Occluded images written to disk, in the layout of OccludedPASCAL3D+, so that a result can be repeated anywhere.

    images/{category}FGL{i}_BGL{i}/NAME.png          the image of one object, with occluders
    annotations/{category}FGL{i}_BGL{i}/NAME.npz     source, occluder_mask, mask, box, occluder_box, category,
                                                     occluder_level, object: what they are is said in
                                                     train/data/occluded_pascal3d.py
    lists/{category}FGL{i}_BGL{i}.txt                NAME.png, one a line
    L{i}.json                                        all objects of the level, as a COCO keypoints file
    occluded.json                                    what was covered by what, with which seed

NAME is the original's; where several objects of an image are covered, each in an image of its own, `.0`, `.1` …
follows: the number of the object in its record, or its place among the image's samples. For data sets with records
`object` is the number in the record, which may hold others that this image does not cover. `mask` is the object's
region, its box, not its outline. Data sets without categories have their scheme's name instead. Images are PNG:
`coke-edge eval` on them sees the very pixels that it sees on the fly, and JPEG would blur both sides of an occluder's
edge.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from coke_edge.errors import DataError
from coke_edge.files import beside
from coke_edge.stream.images import read_image, write_image
from coke_edge.train.data.joint import SEPARATOR
from coke_edge.train.data.occluded_names import (
    FOLDER,
    INFO,
    SUMMARY,
    VERSION,
    Place,
    folder_of,
    number_in_record,
    places_of,
    scheme_of,
)
from coke_edge.train.data.sample import COVERED, UNLABELLED, KeypointDataset, Sample
from coke_edge.train.occluders import Occluders
from coke_edge.train.occlusion_levels import Occluded, box_region, covered_sample, occlude_sample


class LevelSummary(NamedTuple):
    """What was written for one level."""

    level: str
    objects: int
    object_share: float  # covered, mean, 0 … 1
    background_share: float
    unmet: int  # objects whose shares could not be met: they are written all the same


def write_occluded(
    dataset: KeypointDataset,
    out: Path,
    levels: Sequence[str],
    occluders: Occluders,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[LevelSummary]:
    """Cover every object of `dataset` to every level, and write the result to the folder `out`.

    The folder appears when it is complete; if it already holds just this, nothing is done. `progress` is told how many
    images are written and how many there will be. Raises DataError if the folder holds something else or cannot be
    written, or if an image cannot be read.
    """
    info = describe(dataset, levels, occluders, seed)
    if out.exists() and (done := _summaries_of(out / INFO, info)) is not None:
        return done
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and holds something else, choose another folder or remove it")
    temporary: Path | None = None
    try:
        temporary = beside(out)
        temporary.mkdir()
        places = places_of(dataset)
        summaries = []
        for n, level in enumerate(levels):

            def tell(done: int, before: int = n * len(places)) -> None:
                if progress:
                    progress(before + done, len(levels) * len(places))

            summaries.append(_write_level(temporary, dataset, places, level, occluders, seed, tell))
        told = {FOLDER: occluders.folder.folder.resolve().name, SUMMARY: [one._asdict() for one in summaries]}
        content = {**info, **told}
        (temporary / INFO).write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
        temporary.replace(out)
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return summaries


def describe(
    dataset: KeypointDataset, levels: Sequence[str], occluders: Occluders, seed: int
) -> dict[str, Any]:
    """What decides the written images, without the folders of the machine."""
    objects = sha256()
    for sample in dataset.samples:
        objects.update(sample.key.encode() + sample.box.tobytes() + sample.keypoints.tobytes())
        objects.update(sample.visibility.tobytes() + msgspec.json.encode(_meta_of(sample)))
    scoring = (dataset.normaliser, dataset.unscored, dataset.counts_hidden, dict(dataset.left_out))
    objects.update(msgspec.json.encode(scoring))
    return {
        "version": VERSION,
        "data": scheme_of(dataset),
        "split": dataset.split,
        "objects": len(dataset.samples),
        "objects_sha256": objects.hexdigest(),
        "levels": list(levels),
        "seed": seed,
        "occluder_part": occluders.folder.part,
        "occluder_files": {path.name: path.stat().st_size for path in occluders.files},
    }


def _summaries_of(path: Path, info: Mapping[str, Any]) -> list[LevelSummary] | None:
    """What was said when the folder was written; None if it holds something else."""
    try:
        content = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        content.pop(FOLDER)
        summaries = msgspec.convert(content.pop(SUMMARY), list[dict[str, Any]])
        return [LevelSummary(**summary) for summary in summaries] if content == info else None
    except (OSError, msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError):
        return None


def _write_level(
    root: Path,
    dataset: KeypointDataset,
    places: Sequence[Place],
    level: str,
    occluders: Occluders,
    seed: int,
    tell: Callable[[int], None],
) -> LevelSummary:
    joint = [name.partition(SEPARATOR)[0] for name in dataset.keypoints.names if SEPARATOR in name]
    categories = [
        *joint,
        *(place.category for place in places),
    ]  # one of several may have no object: an empty list
    names: dict[str, list[str]] = {folder_of(category, level): [] for category in categories}
    shares, images, annotations, unmet = [], [], [], 0
    for n, (sample, place) in enumerate(zip(dataset.samples, places, strict=True), 1):
        occluded = occlude_sample(read_image(sample.image), sample, level, occluders, seed)
        folder = folder_of(place.category, level)
        file = f"images/{folder}/{place.name}.png"
        write_image(root / file, occluded.image)
        number = number_in_record(sample, dataset)
        masks = root / "annotations" / folder / f"{place.name}.npz"
        _write_masks(masks, sample, number, place, level, occluded)
        names[folder].append(f"{place.name}.png\n")
        height, width = occluded.mask.shape
        images.append({"id": n, "file_name": file, "width": width, "height": height})
        annotations.append(_annotation(covered_sample(sample, occluded.mask), n))
        shares.append((occluded.object_share, occluded.background_share))
        unmet += not occluded.met
        tell(n)
    (root / "lists").mkdir(exist_ok=True)
    for folder, lines in names.items():
        (root / "lists" / f"{folder}.txt").write_text("".join(lines), encoding="utf-8")
    content = {
        "info": {
            "description": f"covered to {level}",
            "level": level,
            "data": scheme_of(dataset),
            "split": dataset.split,
            "normaliser": dataset.normaliser,
            "marks_hidden": dataset.marks_hidden,
            "unscored": dataset.unscored,
            "counts_hidden": dataset.counts_hidden,
            "left_out": dataset.left_out,
        },
        "categories": [_category(dataset)],
        "images": images,
        "annotations": annotations,
    }
    (root / f"{level}.json").write_bytes(msgspec.json.encode(content))
    mean = np.nanmean(np.array(shares), axis=0).tolist()
    return LevelSummary(level, len(images), round(mean[0], 4), round(mean[1], 4), unmet)


def _write_masks(
    path: Path, sample: Sample, number: int | None, place: Place, level: str, occluded: Occluded
) -> None:
    """The `.npz` of an image; numpy writes no time into it, so the same arrays are the same bytes."""
    height, width = occluded.mask.shape
    region = box_region(sample.box, (height, width))
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    box = [0, 0, 0, 0]
    if len(rows):
        box = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]
    in_record: dict[str, Any] = {} if number is None else {"object": np.array(number)}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        source=np.array(f"{sample.image.parent.name}/{sample.image.name}"),
        occluder_mask=occluded.mask,
        mask=region.astype(np.uint8) * np.uint8(255),
        box=np.array([*box, height, width]),
        occluder_box=np.array([[*window, height, width] for window in occluded.windows]).reshape(-1, 6),
        category=np.array(place.category),
        occluder_level=np.array(folder_of("", level)),
        **in_record,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def _category(dataset: KeypointDataset) -> dict[str, Any]:
    categories = {str(sample.meta.get("category") or "") for sample in dataset.samples}
    keypoints = dataset.keypoints
    return {
        "id": 1,
        "name": categories.pop() if len(categories) == 1 else "object",
        "keypoints": keypoints.names,
        "skeleton": [(a + 1, b + 1) for a, b in keypoints.skeleton],
        "flip_pairs": [(keypoints.names[a], keypoints.names[b]) for a, b in keypoints.flip_pairs],
    }


def _annotation(sample: Sample, number: int) -> dict[str, Any]:
    labelled = sample.visibility != UNLABELLED
    points = np.where(labelled[:, None], sample.keypoints, 0).astype(np.float64)
    x0, y0, x1, y1 = (sample.box.astype(np.float64) + 0.5).tolist()
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "keypoints": np.column_stack([points, sample.visibility]).ravel().tolist(),
        "num_keypoints": int(labelled.sum()),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": 0,
        "key": sample.key,
        "covered": sample.meta[COVERED].tolist(),
        "meta": _meta_of(sample),
    }


def _meta_of(sample: Sample) -> dict[str, Any]:
    """The meta that is written."""
    return {name: _plain(value) for name, value in sample.meta.items() if name != COVERED}


def _plain(value: Any) -> Any:
    """Numbers of numpy as Python's."""
    return value.item() if isinstance(value, np.generic) else value

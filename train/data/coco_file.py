"""What we read of a COCO keypoints JSON; everything else in it is skipped."""

from __future__ import annotations

from pathlib import Path

import msgspec

from coke_edge.errors import DataError


class Image(msgspec.Struct):
    id: int | str
    file_name: str


class Annotation(msgspec.Struct):
    id: int | str
    image_id: int | str
    category_id: int
    keypoints: list[float] = []  # x, y, v for each keypoint; v: 0 unlabelled, 1 hidden, 2 visible
    bbox: list[float] | None = None  # x, y, width, height
    iscrowd: int | bool = 0


class Category(msgspec.Struct):
    id: int
    name: str
    keypoints: list[str] = []
    skeleton: list[tuple[int, int]] = []  # counted from 1
    flip_pairs: list[tuple[str, str]] | None = None
    flip_indices: list[int] | None = None  # counted from 0


class CocoFile(msgspec.Struct):
    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


def read_coco_file(path: Path) -> CocoFile:
    """Decode and check the types of a COCO JSON file.

    Raises DataError if it is missing, no JSON, of another form, or uses an image or annotation id twice.
    """
    try:
        content = msgspec.json.decode(path.read_bytes(), type=CocoFile)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise DataError(f"{path} is no COCO keypoints file: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no JSON file, or it is cut off: {error}") from error
    _require_unique(path, "images", [image.id for image in content.images])
    _require_unique(path, "annotations", [annotation.id for annotation in content.annotations])
    return content


def _require_unique(path: Path, table: str, ids: list[int | str]) -> None:
    seen: set[int | str] = set()
    for one in ids:
        if one in seen:
            raise DataError(f"{path}: the id {one} stands twice under '{table}'")
        seen.add(one)

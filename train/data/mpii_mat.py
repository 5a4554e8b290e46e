"""MPII's own annotations, `mpii_human_pose_v1_u12_1.mat`, with their gaps.

    RELEASE.annolist(i).image.name
    RELEASE.annolist(i).annorect(r).{x1, y1, x2, y2 (head), scale, objpos.{x, y}}
    RELEASE.annolist(i).annorect(r).annopoints.point(j).{id, x, y, is_visible}
    RELEASE.img_train(i)          0 for test images, whose joints are not published
    RELEASE.single_person{i}      the persons far enough from others, counted from 1

All of them structs or struct arrays. Gaps: images without persons; persons without annopoints, scale, objpos or head
box; is_visible missing, empty, or a character. A joint of unknown visibility counts as visible. Without `img_train`
every image is for training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError
from coke_edge.train.data.mat import number, numbers, read_mat, structs, text
from coke_edge.train.data.mpii_person import NAMES, Person, head_size, person_box
from coke_edge.train.data.sample import FAR, HIDDEN, UNLABELLED, VISIBLE


def read_mpii_mat(path: Path) -> list[Person]:
    """The persons of the training images. Raises DataError if the file is missing, unreadable or another one."""
    release = read_mat(path, "RELEASE")
    images = structs(release.get("annolist")) if isinstance(release, Mapping) else []
    if not images:
        raise DataError(f"{path}: 'RELEASE' holds no 'annolist', so this is no annotation file of MPII")
    training = numbers(release.get("img_train"))
    if len(training) not in (0, len(images)):
        raise DataError(
            f"{path}: 'img_train' is for {len(training)} images, but 'annolist' has {len(images)}"
        )
    separated = release.get("single_person")
    marks = list(separated) if isinstance(separated, (list, np.ndarray)) else []
    return [
        person
        for i, image in enumerate(images)
        if not len(training) or training[i]
        for person in _persons(image, marks[i] if len(marks) == len(images) else None)
    ]


def _persons(image: Mapping[str, Any], separated: Any) -> Iterator[Person]:
    about = image.get("image")
    name = Path(text(about.get("name")) if isinstance(about, Mapping) else "").name
    if not name:
        return
    alone = None if separated is None else set(_indices(separated))
    for r, person in enumerate(structs(image.get("annorect"))):
        points, visibility = _joints(person.get("annopoints"))
        place = person.get("objpos")
        place = place if isinstance(place, Mapping) else {}
        yield Person(
            name,
            f"{Path(name).stem}#{r}",
            points,
            visibility,
            person_box(number(place.get("x")), number(place.get("y")), number(person.get("scale"))),
            head_size(*(number(person.get(corner)) for corner in ("x1", "y1", "x2", "y2"))),
            alone is None or r + 1 in alone,
        )


def _indices(value: Any) -> list[int]:
    return [int(i) for i in numbers(value) if abs(i) < FAR]


def _joints(annopoints: Any) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Points [16, 2] from 0 and visibility [16]."""
    points = np.full((len(NAMES), 2), np.nan, dtype=np.float32)
    visibility = np.full(len(NAMES), UNLABELLED, dtype=np.uint8)
    for point in structs(annopoints.get("point") if isinstance(annopoints, Mapping) else None):
        joint, x, y = (number(point.get(name)) for name in ("id", "x", "y"))
        if (
            joint is None
            or joint not in range(len(NAMES))
            or x is None
            or y is None
            or max(abs(x), abs(y)) >= FAR
        ):
            continue
        points[int(joint)] = x - 1, y - 1
        visibility[int(joint)] = HIDDEN if _marked_hidden(point.get("is_visible")) else VISIBLE
    return points, visibility


def _marked_hidden(flag: Any) -> bool:
    return flag.strip() == "0" if isinstance(flag, str) else number(flag) == 0

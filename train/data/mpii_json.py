"""MPII as JSON, the form that pose toolkits share: a list of persons.

Each has `image`, `joints` [16][2] counted from 1, `joints_vis` [16] (0: not labelled; what is covered is not told
apart), `center` and `scale` as annotated. It has no head sizes: PCKh needs them from `valid.h5` (`heads=`).
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec
import numpy as np

from coke_edge.errors import DataError
from coke_edge.train.data.mpii_person import NAMES, Person, person_box
from coke_edge.train.data.sample import FAR, UNLABELLED, VISIBLE


class Entry(msgspec.Struct):
    """One person of the file; test images have no joints."""

    image: str
    center: tuple[float, float]
    scale: float
    joints: list[tuple[float, float]] = []
    joints_vis: list[float] = []


def read_mpii_json(path: Path) -> list[Person]:
    """The persons of a file, in its order. Raises DataError if it is missing, no JSON or of another form."""
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=list[Entry])
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise DataError(f"{path} is no list of MPII's persons: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no JSON file, or it is cut off: {error}") from error
    return [_person(entry, number, path) for number, entry in enumerate(entries)]


def _person(entry: Entry, number: int, path: Path) -> Person:
    count = len(NAMES)
    if entry.joints and (len(entry.joints), len(entry.joints_vis)) != (count, count):
        raise DataError(
            f"{path}: person {number} has {len(entry.joints)} 'joints' and {len(entry.joints_vis)} 'joints_vis', "
            f"but MPII has {count}"
        )
    joints, flags = (
        (entry.joints, entry.joints_vis) if entry.joints else ([(0.0, 0.0)] * count, [0.0] * count)
    )
    points = np.array(joints, dtype=np.float64) - 1
    labelled = (np.array(flags) > 0) & (np.abs(points) < FAR).all(axis=1)
    points[~labelled] = np.nan
    name = PurePosixPath(entry.image).name
    if not name:
        raise DataError(f"{path}: person {number} has no 'image'")
    return Person(
        name,
        f"{Path(name).stem}#{number}",
        points.astype(np.float32),
        np.where(labelled, VISIBLE, UNLABELLED).astype(np.uint8),
        person_box(*entry.center, entry.scale),
    )

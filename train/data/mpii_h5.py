"""MPII's usual validation persons, `valid.h5`: with the head sizes that published PCKh figures divide by.

Arrays over n persons: imgname, part [n, 16, 2] counted from 1 and (0, 0) where not labelled, visible [n, 16], center
[n, 2] and scale [n] with the field's correction in them already, normalize [n] the head size in px. `train.h5` and
`annot.h5` of the same authors have the same arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError
from coke_edge.files import is_there
from coke_edge.train.data.mpii_person import NAMES, Person, square
from coke_edge.train.data.sample import FAR, HIDDEN, UNLABELLED, VISIBLE

Float = NDArray[np.float64]


class Arrays(NamedTuple):
    """What we read of the file."""

    names: list[str]  # n
    part: Float  # [n, 16, 2]
    visible: Float  # [n, 16]
    center: Float  # [n, 2]
    scale: Float  # [n]
    normalize: Float  # [n]


def read_mpii_h5(path: Path) -> list[Person]:
    """The persons of a file, in its order. Raises DataError if it is missing, damaged or another one."""
    arrays = _read(path)
    labelled = (arrays.part != 0).any(axis=2) & (np.abs(arrays.part) < FAR).all(axis=2)
    points = np.where(labelled[..., None], arrays.part - 1, np.nan).astype(np.float32)
    flags = np.where(labelled, np.where(arrays.visible == 0, HIDDEN, VISIBLE), UNLABELLED).astype(np.uint8)
    return [
        Person(
            name,
            f"{Path(name).stem}#{i}",
            points[i],
            flags[i],
            square(float(arrays.center[i, 0]), float(arrays.center[i, 1]), float(arrays.scale[i])),
            float(arrays.normalize[i]),
        )
        for i, name in enumerate(arrays.names)
    ]


def _read(path: Path) -> Arrays:
    try:
        import h5py
    except ImportError:
        raise DataError(f"reading {path} needs h5py: pip install 'coke-edge[mpii]'") from None
    if not is_there(path):
        raise DataError(f"{path} does not exist: give the file that holds the persons")
    try:
        with h5py.File(path) as file:
            arrays: dict[str, Any] = {name: file[name][()] for name in ("imgname", *Arrays._fields[1:])}
    except KeyError as error:
        raise DataError(f"{path} is no file of MPII's persons: {error.args[0]}") from error
    except Exception as error:  # h5py raises whatever the broken bytes lead it to
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as an HDF5 file ({reason}): fetch it again") from error
    names = [_name(row) for row in np.ravel(arrays.pop("imgname"))]
    shapes = {"part": (len(NAMES), 2), "visible": (len(NAMES),), "center": (2,), "scale": (), "normalize": ()}
    for name, shape in shapes.items():
        values = np.asarray(arrays[name])
        if values.dtype.kind not in "biuf" or values.shape != (len(names), *shape):
            raise DataError(
                f"{path}: '{name}' is of shape {values.shape}, not {(len(names), *shape)} numbers"
            )
        arrays[name] = values.astype(np.float64)
    if not all(names):
        raise DataError(f"{path}: 'imgname' holds something that is no file name")
    return Arrays(names, **arrays)


def _name(row: Any) -> str:
    """A file name from bytes, padded with zeros as HDF5 has them, or from a string."""
    name = row.decode("utf-8", "replace") if isinstance(row, bytes) else row if isinstance(row, str) else ""
    return Path(name.rstrip("\0")).name.replace("\0", "")

"""Reading arrays from `.npz` files, with one sentence when that fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """These arrays of a file; the others are not looked at, and nothing is ever unpickled.

    Raises DataError if the file is missing, no `.npz`, damaged, or lacks one of them.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist: give the folder into which the data set was unpacked")
    try:
        with np.load(path, allow_pickle=False) as content:
            absent = [name for name in names if name not in content.files]
            arrays = {name: content[name] for name in names if name not in absent}
    except Exception as error:  # zipfile and numpy raise whatever the broken bytes lead them to
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as a file of arrays ({reason}): fetch it again") from error
    if absent:
        raise DataError(f"{path} has no array '{absent[0]}': it belongs to another data set")
    return arrays

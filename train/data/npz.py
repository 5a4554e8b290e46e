"""Reading arrays from `.npz` files, with one sentence when that fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError
from coke_edge.files import is_there


def read_arrays(path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """These arrays of a file, the optional ones if it has them; others are not looked at, and nothing is unpickled.

    Raises DataError if the file is missing, no `.npz`, damaged, or lacks one of `names`.
    """
    if not is_there(path):
        raise DataError(f"{path} does not exist: give the folder into which the data set was unpacked")
    try:
        with np.load(path, allow_pickle=False) as content:
            absent = [name for name in names if name not in content.files]
            present = [name for name in (*names, *optional) if name in content.files]
            arrays = {name: content[name] for name in present}
    except Exception as error:  # zipfile and numpy raise whatever the broken bytes lead them to
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as a file of arrays ({reason}): fetch it again") from error
    if absent:
        raise DataError(f"{path} has no array '{absent[0]}': it belongs to another data set")
    return arrays

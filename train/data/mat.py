"""Reading MATLAB files and the loose values in them, with one sentence when that fails."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError
from coke_edge.files import is_there
from coke_edge.train.data.mat_structure import check_structure


def read_mat(path: Path, variable: str) -> Any:
    """One variable of a `.mat` file; structs become dicts, struct arrays and cells become lists.

    Raises DataError if the file is missing, is no MATLAB file (up to version 7) or lacks the variable.
    """
    from scipy.io import loadmat

    if not is_there(path):
        raise DataError(f"{path} does not exist: give the folder into which the data set was unpacked")
    data = path.read_bytes()
    try:
        if _is_version_5(data):
            check_structure(data, variable)
        content = loadmat(BytesIO(data), simplify_cells=True, variable_names=[variable])
    except NotImplementedError as error:
        raise DataError(f"{path} is a MATLAB 7.3 file: save it again with '-v7'") from error
    except Exception as error:  # scipy raises whatever the broken bytes lead it to
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as a MATLAB file ({reason}): fetch it again") from error
    if variable not in content:
        raise DataError(f"{path} has no variable '{variable}': it belongs to another data set")
    return content[variable]


def _is_version_5(data: bytes) -> bool:
    """Whether SciPy takes the bytes for a file of version 5 to 7; an older one begins with a zero in four bytes."""
    return len(data) >= 128 and 0 not in data[:4] and data[125 if data[126:127] == b"I" else 124] == 1


def structs(value: Any) -> list[Mapping[str, Any]]:
    """A struct array, a cell array of structs, a single struct or nothing, as a list of its structs."""
    if isinstance(value, Mapping):
        return [value]
    items = value if isinstance(value, list) else np.ravel(value) if isinstance(value, np.ndarray) else []
    return [item for item in items if isinstance(item, Mapping)]


def numbers(value: Any) -> NDArray[np.float64]:
    """A numeric array, flat; empty where there is nothing numeric."""
    if isinstance(value, (list, Mapping, str)) or value is None:
        return np.empty(0)
    array = np.ravel(np.asarray(value))
    return array.astype(np.float64) if array.dtype.kind in "biuf" else np.empty(0)


def number(value: Any) -> float | None:
    """A single finite number, or None: MATLAB writes an empty matrix for what is not annotated."""
    values = numbers(value)
    return float(values[0]) if len(values) == 1 and np.isfinite(values[0]) else None


def text(value: Any) -> str:
    """A string, or "" where there is none."""
    return value if isinstance(value, str) else ""

"""Reading MATLAB files, with one sentence when that fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coke_edge.errors import DataError


def read_mat(path: Path, variable: str) -> Any:
    """One variable of a `.mat` file; structs become dicts, struct arrays and cells become lists.

    Raises DataError if the file is missing, is no MATLAB file (up to version 7) or lacks the variable.
    """
    from scipy.io import loadmat

    if not path.is_file():
        raise DataError(f"{path} does not exist: give the folder into which the data set was unpacked")
    try:
        content = loadmat(path, simplify_cells=True)
    except NotImplementedError as error:
        raise DataError(f"{path} is a MATLAB 7.3 file: save it again with '-v7'") from error
    except Exception as error:  # scipy raises whatever the broken bytes lead it to
        raise DataError(f"{path} cannot be read as a MATLAB file ({error}): fetch it again") from error
    if variable not in content:
        raise DataError(f"{path} has no variable '{variable}': it belongs to another data set")
    return content[variable]

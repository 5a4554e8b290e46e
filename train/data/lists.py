"""Image lists: a name on each line, in some data sets with a label behind it."""

from __future__ import annotations

from pathlib import Path

from coke_edge.errors import DataError


def read_names(path: Path, without: str | None = None) -> list[str]:
    """The names in a list, without folder and suffix; lines whose second word is `without` are passed over.

    Raises DataError if the file cannot be read as text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"cannot read the image list {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no list of image names: it is no text") from error
    rows = [line.split() for line in lines if line.strip()]
    names = [Path(row[0]).stem for row in rows if without is None or row[1:2] != [without]]
    if any("\0" in name for name in names):
        raise DataError(f"{path} is no list of image names: it is no text")
    return names

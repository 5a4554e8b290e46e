"""A folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from coke_edge.errors import ExportError
from coke_edge.files import beside


@contextlib.contextmanager
def replacing_folder(target: Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """An empty folder beside `target` to fill; it takes the target's name when the block ends without an exception.

    A folder that is there gives way if `is_ours` says so.

    Raises ExportError, one sentence, if `target` is somebody else's or the disk refuses.
    """
    if target.exists() and not (target.is_dir() and is_ours(target)):
        raise ExportError(
            f"{target} is there and was not written by this export, or was changed since; "
            "move it away or choose another folder"
        )
    new = old = None
    try:
        new = beside(target)
        new.mkdir()
        yield new
        if target.exists():
            old = beside(target)
            target.rename(old)
        new.rename(target)
    except OSError as error:
        raise ExportError(f"cannot write {target}: {error.strerror or error}") from None
    finally:
        if old is not None and old.exists() and not target.exists():
            old.rename(target)  # stopped between the two: the old one is better than none
        for path in (new, old):
            if path is not None:
                shutil.rmtree(path, ignore_errors=True)

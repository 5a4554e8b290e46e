"""Files that appear whole or not at all, and whether one is there."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from coke_edge.errors import CokeError

LONGEST = 255  # bytes of a file's name, on all common file systems
BESIDE = re.compile(r"\.(?P<stem>.+)\.[0-9a-f]{8}\.part(?P<suffix>(\.[^.]+)?)")


def is_there(path: Path, folder: bool = False) -> bool:
    """Whether there is such a file, or a folder.

    One whose name is too long for the system, or whose folder may not be looked into, is none: pathlib would raise.
    """
    try:
        return path.is_dir() if folder else path.is_file()
    except OSError:
        return False


def beside(target: Path) -> Path:
    """A fresh hidden name in the folder of `target`, with its suffix, for what is not yet whole.

    The end of a stem is left out where the name would be too long for the file system, although the target's is not.

    Raises OSError if the folder is neither there nor can be made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    ending = f".{secrets.token_hex(4)}.part{target.suffix}"
    room = max(1, LONGEST - 1 - len(os.fsencode(ending)))
    stem = os.fsencode(target.stem)[:room].decode(errors="ignore")
    return target.with_name(f".{stem}{ending}")


def name_of_whole(name: str) -> str | None:
    """The name of the file that was to take the place of one called `name` by `beside`; None if it is not called so."""
    match = BESIDE.fullmatch(name)
    return match["stem"] + match["suffix"] if match else None


@contextlib.contextmanager
def replacing(
    target: Path, error_type: type[CokeError] = CokeError, buffering: int = -1
) -> Iterator[BinaryIO]:
    """A file to write beside `target`; it takes the target's name when the block ends without an exception.

    Missing parent folders are made. The bytes are on the disk before the rename, so that a power cut leaves
    the old file or the new one. `buffering` is that of `open`; 0 is none.

    Raises `error_type`, one sentence, if the folder or the disk refuses.
    """
    temporary: Path | None = None
    try:
        temporary = beside(target)
        with temporary.open("xb", buffering) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise error_type(f"cannot write {target}: {error.strerror or error}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)

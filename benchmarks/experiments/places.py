"""Where the data of this machine lie: what `{data}` and `{generated}` in a definition stand for."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from coke_edge.errors import CokeError


class Places(NamedTuple):
    """Folders with their full paths, since trainings remember them."""

    data: str | None  # the data sets; None if the user names none
    generated: str  # made when it is needed (generated.py)

    def located(self, text: str) -> str:
        """A specification with its folder in place. Raises CokeError if that is not known."""
        if "{data}" in text and self.data is None:
            raise CokeError(
                "say with --data (or COKE_EDGE_DATA) which folder holds the data sets: lsp/, backgrounds/ …"
            )
        return text.replace("{data}", self.data or "").replace("{generated}", self.generated)


def places(data: str | None, cache: Path) -> Places:
    """Raises CokeError if `data` is no folder."""
    generated = str((cache / "generated").resolve())
    if not data:
        return Places(None, generated)
    folder = Path(data).expanduser().resolve()
    if not folder.is_dir():
        raise CokeError(f"there is no folder {folder}: --data names the one that holds lsp/, backgrounds/ …")
    return Places(str(folder), generated)

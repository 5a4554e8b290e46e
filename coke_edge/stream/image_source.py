"""Image files as a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from coke_edge.stream.frame import Frame
from coke_edge.stream.images import read_image


class ImageSource:
    """Image files, read one after the other; each is named by its path below `root`."""

    frames_per_second: float | None = None

    def __init__(self, paths: Sequence[Path], root: Path) -> None:
        self._paths = paths
        self._root = root
        self.length: int | None = len(paths)

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self._paths):
            yield Frame(index, read_image(path), path.relative_to(self._root).as_posix(), path=path)

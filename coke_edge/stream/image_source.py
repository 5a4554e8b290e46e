"""Image files as a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from coke_edge.stream.frame import Frame
from coke_edge.stream.images import read_image


class ImageSource:
    """Image files, read one after the other; each is named by its path below `root`."""

    live = False
    frames_per_second: float | None = None

    def __init__(self, paths: Sequence[Path], root: Path) -> None:
        self._paths = paths
        self._root = root
        self.length: int | None = len(paths)
        self._stopped = False

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self._paths):
            if self._stopped:
                break
            yield Frame(index, read_image(path), path.relative_to(self._root).as_posix(), path=path)

    def stop(self) -> None:
        """End the frames, from any thread or a signal's handler."""
        self._stopped = True

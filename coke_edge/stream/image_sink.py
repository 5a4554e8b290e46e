"""Annotated pictures as files."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from coke_edge.errors import StreamError
from coke_edge.stream.frame import Result
from coke_edge.stream.images import WRITABLE, write_image
from coke_edge.stream.sinks import Painter, keep_source


class ImageSink:
    """One annotated picture. A second one is refused, or with `newest` takes the first one's place."""

    backlog = 1  # in a live run the newest wins
    pixels = True

    def __init__(self, path: Path, paint: Painter, newest: bool = False) -> None:
        self._path = path
        self._paint = paint
        self._newest = newest
        self.written: list[str] = []

    def __call__(self, result: Result) -> None:
        if self.written and not self._newest:
            raise StreamError(
                f"{self._path} holds one picture and the source has more; give a folder, as in out/"
            )
        keep_source(self._path, result.frame)
        write_image(self._path, self._paint(result))
        self.written = [str(self._path)]

    def __enter__(self) -> ImageSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open: each picture is written whole."""


class FolderSink(ImageSink):
    """An annotated picture for each frame, under the frame's own name; frames of a video and .pgm become .jpg."""

    def __call__(self, result: Result) -> None:
        name = result.frame.name
        target = self._path / (name if Path(name).suffix.lower() in WRITABLE else f"{name}.jpg")
        keep_source(target, result.frame)
        write_image(target, self._paint(result))
        self.written = [f"{self._path}/"]

"""An annotated video."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2

from coke_edge.errors import StreamError
from coke_edge.files import beside
from coke_edge.stream.frame import Result
from coke_edge.stream.images import quiet
from coke_edge.stream.sinks import Painter, keep_source

CODEC = "mp4v"  # the one MPEG-4 encoder that every OpenCV wheel has
DEFAULT_RATE = 10.0  # frames per second where the source has no clock


class VideoSink:
    """An .mp4 of annotated frames of one size; MPEG-4 has even sizes, so an odd last row or column is lost.

    It takes its name when the block is left, by an interrupt or an error too, so that what was detected until
    then plays.
    """

    def __init__(self, path: Path, paint: Painter, frames_per_second: float | None) -> None:
        self._path = path
        self._paint = paint
        self._rate = frames_per_second or DEFAULT_RATE
        self._writer: cv2.VideoWriter | None = None
        self._temporary: Path | None = None
        self._size = (0, 0)
        self.written: list[str] = []

    def __call__(self, result: Result) -> None:
        image = self._paint(result)
        size = (image.shape[1], image.shape[0])
        if self._writer is None:
            keep_source(self._path, result.frame)
            self._writer = self._open(size)
        if size != self._size:
            raise StreamError(
                f"{result.frame.name} is {size[0]} by {size[1]} pixels, unlike the video's "
                f"{self._size[0]} by {self._size[1]}; give a folder as the sink, as in out/"
            )
        self._writer.write(image)

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        try:
            self._temporary = beside(self._path)
            self._temporary.touch()  # says why, if it cannot be written
        except OSError as error:
            raise StreamError(f"cannot write {self._path}: {error.strerror}") from None
        self._size = size
        with quiet():
            fourcc = cv2.VideoWriter.fourcc(*CODEC)
            writer = cv2.VideoWriter(str(self._temporary), cv2.CAP_FFMPEG, fourcc, self._rate, size)
        if not writer.isOpened():
            self._temporary.unlink()
            raise StreamError(
                f"this OpenCV cannot write the video {self._path}; `pip install opencv-python` can"
            )
        return writer

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None or self._temporary is None:
            return
        self._writer.release()
        try:
            if not plays(self._temporary):  # the writer itself never says that the disk is full
                raise StreamError(f"the video {self._path} could not be finished; is the disk full?")
            self._temporary.replace(self._path)
        except OSError as problem:
            raise StreamError(f"cannot write {self._path}: {problem.strerror}") from None
        finally:
            self._temporary.unlink(missing_ok=True)
        self.written.append(str(self._path))


def plays(path: Path) -> bool:
    """Whether a video file can be opened."""
    with quiet():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        return bool(capture.isOpened())
    finally:
        capture.release()

"""An annotated video."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import StreamError
from coke_edge.files import beside
from coke_edge.stream.frame import Result
from coke_edge.stream.images import quiet
from coke_edge.stream.pacing import Pacer, measured_rate
from coke_edge.stream.sinks import Painter, keep_source

CODEC = "mp4v"  # the one MPEG-4 encoder that every OpenCV wheel has
DEFAULT_RATE = 10.0  # frames per second where the source has no clock
HELD = 8  # live frames that wait for the rate to be known
RESERVE = (
    64 * 2**20
)  # bytes left free on the disk: a video needs some to be closed, and the machine needs some

log = logging.getLogger(__name__)


class VideoSink:
    """An .mp4 of annotated frames; MPEG-4 has even sizes, so an odd last row or column is lost.

    A frame of another size than the first is fitted into it, with black bars. Live frames are repeated or left
    out so that the video plays in real time; gaps above two seconds are cut out.
    It takes its name when the block is left, by an interrupt or an error too, so that what was detected until
    then plays. Raises StreamError, and plays, when the disk has less than 64 MiB left.
    """

    backlog = 8  # results, with their pictures, that may wait for it in a live run
    pixels = True

    def __init__(
        self, path: Path, paint: Painter, frames_per_second: float | None, live: bool = False
    ) -> None:
        self._path = path
        self._paint = paint
        self._rate = frames_per_second or DEFAULT_RATE
        self._held: list[tuple[float, NDArray[np.uint8]]] | None = [] if live else None
        self._pacer: Pacer | None = None
        self._writer: cv2.VideoWriter | None = None
        self._temporary: Path | None = None
        self._size = (0, 0)
        self._fitted = False
        self.written: list[str] = []

    def __call__(self, result: Result) -> None:
        keep_source(self._path, result.frame)
        check_room(self._path)
        image = self._paint(result)
        captured = result.frame.captured
        if self._held is not None and captured is not None:
            self._held.append((captured, image))
            if len(self._held) == HELD:
                self._begin(self._held)
        elif self._pacer is not None and captured is not None:
            self._write(image, self._pacer.copies(captured))
        else:
            self._write(image, 1)

    def _begin(self, held: list[tuple[float, NDArray[np.uint8]]]) -> None:
        """Write the frames that waited, at the rate that they came at."""
        self._held = None
        self._rate = measured_rate([time for time, _ in held], self._rate)
        self._pacer = Pacer(self._rate)
        for time, image in held:
            self._write(image, self._pacer.copies(time))

    def _write(self, image: NDArray[np.uint8], copies: int) -> None:
        size = (image.shape[1], image.shape[0])
        if self._writer is None:
            self._writer = self._open(size)
        if size != self._size:
            self._say_once(size)
            image = fit(image, *self._size)
        for _ in range(copies):
            self._writer.write(image)

    def _say_once(self, size: tuple[int, int]) -> None:
        if not self._fitted:
            self._fitted = True
            log.warning(
                f"frames of {size[0]} by {size[1]} pixels are fitted into the {self._size[0]} by {self._size[1]} "
                f"of the video {self._path}",
                extra={"event": "size"},
            )

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
        try:
            if self._held:
                self._begin(self._held)
        finally:
            self._finish()

    def _finish(self) -> None:
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


def check_room(path: Path) -> None:
    """Raises StreamError if the disk that holds `path` is nearly full."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if free < RESERVE:
        raise StreamError(
            f"cannot go on with {path}: {free >> 20} MiB are free on its disk and {RESERVE >> 20} are kept; "
            "make room or write elsewhere"
        )


def fit(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The picture as large as it fits into `width` × `height`, in the middle, black around it."""
    scale = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros((height, width, 3), np.uint8)
    x, y = (width - size[0]) // 2, (height - size[1]) // 2
    canvas[y : y + size[1], x : x + size[0]] = small
    return canvas


def plays(path: Path) -> bool:
    """Whether a video file can be opened."""
    with quiet():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        return bool(capture.isOpened())
    finally:
        capture.release()

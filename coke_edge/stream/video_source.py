"""A video file as a source."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from coke_edge.errors import StreamError
from coke_edge.stream.frame import Frame
from coke_edge.stream.images import quiet

# FFmpeg logs to stderr by itself; our errors say it in one sentence.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class VideoSource:
    """All frames of a video file, in order, upright.

    Raises StreamError if OpenCV cannot open the file or decode a frame of it.
    """

    live = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stopped = False
        with quiet():
            self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise StreamError(
                f"{path} is damaged, or no video that OpenCV can read; copy or convert it again"
            )
        self.frames_per_second: float | None = self._capture.get(cv2.CAP_PROP_FPS) or None
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length: int | None = count if count > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        try:
            index = 0
            while not self._stopped:
                found, image = self._capture.read()
                if not found:
                    break
                time = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                name = f"{self._path.name}/{index:06d}"
                yield Frame(index, np.asarray(image, dtype=np.uint8), name, time, self._path)
                index += 1
        finally:
            self._capture.release()
        if index == 0 and not self._stopped:
            raise StreamError(f"no frame of the video {self._path} can be decoded; copy or convert it again")

    def stop(self) -> None:
        """End the frames, from any thread or a signal's handler."""
        self._stopped = True

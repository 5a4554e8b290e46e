"""Cameras that OpenCV reads: V4L2 devices, and network streams through its FFmpeg."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2

from coke_edge.errors import StreamError
from coke_edge.stream.camera import Image, Shot
from coke_edge.stream.images import quiet
from coke_edge.stream.parameters import Parameters
from coke_edge.stream.pixels import to_bgr

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # our errors say it in one sentence

FFMPEG_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
LOW_DELAY = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay"  # TCP: no frames torn by a lost packet
GSTREAMER_TAIL = (
    "! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"  # the newest frame
)

_opening = threading.Lock()  # FFmpeg's options are a variable of the whole process


class OpenCvCamera:
    """A `cv2.VideoCapture`. Its wait ends by a timeout alone: another thread must not touch it."""

    def __init__(self, capture: cv2.VideoCapture, lost: str) -> None:
        self._capture = capture
        self._lost = lost  # the sentence when no frame comes

    def read(self) -> Shot | None:
        """Wait for the next frame. Raises StreamError when none comes."""
        try:
            found, image = self._capture.read()
        except cv2.error as error:
            raise StreamError(f"{self._lost} ({error.err})") from None
        if not found:
            raise StreamError(self._lost)
        return lambda: picture(image)

    def interrupt(self) -> None:
        """Nothing can be done from another thread."""

    def close(self) -> None:
        """Give the device or connection back."""
        self._capture.release()


def picture(image: cv2.typing.MatLike) -> Image | None:
    """What OpenCV read as uint8 BGR; None if it is no picture."""
    try:
        return to_bgr(image)
    except ValueError:
        return None


def open_webcam(device: str, asked: Parameters) -> OpenCvCamera:
    """The V4L2 device at a path such as /dev/video0, in the mode that was asked for or the nearest one it has.

    Raises StreamError if there is no such device or it gives no pictures.
    """
    if not Path(device).exists():
        raise StreamError(f"there is no camera {device}; `ls /dev/video*` names those that are plugged in")
    settings = [cv2.CAP_PROP_BUFFERSIZE, 1]  # a frame that waits in the driver is old
    if asked.format is not None:  # before the size: a camera may have its large sizes in MJPG alone
        settings += [cv2.CAP_PROP_FOURCC, fourcc(asked.format)]
    if asked.size is not None:
        settings += [cv2.CAP_PROP_FRAME_WIDTH, asked.size[0], cv2.CAP_PROP_FRAME_HEIGHT, asked.size[1]]
    if asked.fps is not None:
        settings += [cv2.CAP_PROP_FPS, round(asked.fps)]
    with quiet():
        capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        for setting, value in zip(settings[::2], settings[1::2], strict=True):
            capture.set(setting, value)
    if not capture.isOpened():
        raise StreamError(
            f"the camera {device} cannot be opened; does another program have it, or may you not read it?"
        )
    return OpenCvCamera(capture, f"the camera {device} gives no frame; is it still plugged in?")


def fourcc(name: str) -> int:
    """The code of a pixel format: mjpg, yuyv. Raises StreamError if the name has not four letters."""
    if len(name) != 4:
        raise StreamError(f"a camera's format has four letters, as in mjpg or yuyv, not {name!r}")
    return cv2.VideoWriter.fourcc(*name.upper())


def open_network(uri: str, shown: str, timeout: float) -> OpenCvCamera:
    """A stream that FFmpeg reads, rtsp:// above all, with as little buffered as it can.

    `shown` is the address for errors, without its password. Raises StreamError if it cannot be opened within
    `timeout` seconds; a later silence of that length ends a read.
    """
    milliseconds = round(timeout * 1000)
    settings = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
    with ffmpeg_options(), quiet():
        capture = cv2.VideoCapture(uri, cv2.CAP_FFMPEG, settings)
    if not capture.isOpened():
        raise StreamError(
            f"{shown} cannot be opened within {timeout:g} s; is the server up, the address right?"
        )
    return OpenCvCamera(capture, f"{shown} has ended, or sent nothing for {timeout:g} s")


def open_gstreamer(pipeline: str) -> OpenCvCamera:
    """A pipeline in OpenCV's own GStreamer. Raises StreamError if it does not start."""
    with quiet():
        capture = cv2.VideoCapture(f"{pipeline} {GSTREAMER_TAIL}", cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise StreamError(
            "OpenCV's GStreamer cannot start the pipeline; try it with gst-launch-1.0, which says why"
        )
    return OpenCvCamera(capture, "the GStreamer pipeline in OpenCV has ended")


@contextlib.contextmanager
def ffmpeg_options() -> Iterator[None]:
    """Our options for the stream that is opened; what the user has set goes first."""
    with _opening:
        mine = FFMPEG_OPTIONS not in os.environ
        if mine:
            os.environ[FFMPEG_OPTIONS] = LOW_DELAY
        try:
            yield
        finally:
            if mine:
                del os.environ[FFMPEG_OPTIONS]

"""V4L2 cameras over a stand-in for `cv2.VideoCapture`: a container has no video device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.opencv_camera import FFMPEG_OPTIONS, LOW_DELAY, open_network, open_webcam
from coke_edge.stream.parameters import Parameters
from coke_edge.stream.sources import open_source


class Capture:
    """A camera of three frames, then unplugged."""

    opens = True
    made: list[Capture]

    def __init__(self, name: str, backend: int, settings: list[int] | None = None) -> None:
        self.name, self.backend, self.settings = name, backend, settings
        self.set_to: list[tuple[int, float]] = []
        self.options = os.environ.get(FFMPEG_OPTIONS)
        self.left = 3
        self.released = False
        Capture.made.append(self)

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return self.opens

    def set(self, setting: int, value: float) -> bool:
        self.set_to.append((setting, value))
        return True

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        if self.left < 0:
            return False, None
        return True, np.full((4, 6), 65535, np.uint16)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> type[Capture]:
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(Capture, "made", [], raising=False)
    return Capture


@pytest.fixture
def device(tmp_path: Path) -> str:
    (tmp_path / "video7").touch()
    return str(tmp_path / "video7")


def test_the_mode_that_is_asked_for(capture: type[Capture], device: str) -> None:
    open_webcam(device, Parameters((1280, 720), 60, "mjpg"))
    [camera] = capture.made
    assert (camera.name, camera.backend) == (device, cv2.CAP_V4L2)
    assert camera.set_to == [
        (cv2.CAP_PROP_BUFFERSIZE, 1),
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 60),
    ]


def test_sixteen_bit_gray_becomes_bgr(capture: type[Capture], device: str) -> None:
    shot = open_webcam(device, Parameters()).read()
    image = shot() if shot else None
    assert image is not None
    assert image.shape == (4, 6, 3)
    assert (image == 255).all()


def test_unplugged(capture: type[Capture], device: str) -> None:
    camera = open_webcam(device, Parameters())
    with pytest.raises(StreamError, match="still plugged in"):
        list(iter(camera.read, None))
    camera.close()
    assert capture.made[0].released


def test_busy(capture: type[Capture], device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "opens", False)
    with pytest.raises(StreamError, match="does another program have it"):
        open_webcam(device, Parameters())


@pytest.mark.parametrize("uri", ["9", "/dev/video9", "/dev/video9?size=640x480&fps=30&format=mjpg"])
def test_no_such_camera(uri: str) -> None:
    with pytest.raises(StreamError, match=r"there is no camera /dev/video9"):
        list(open_source(uri))


def test_what_ffmpeg_is_told(capture: type[Capture], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FFMPEG_OPTIONS, raising=False)
    open_network("rtsp://me:pw@host/x", "rtsp://host/x", 2.5)
    assert capture.made[0].options == LOW_DELAY
    assert capture.made[0].settings == [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        2500,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        2500,
    ]
    assert FFMPEG_OPTIONS not in os.environ
    monkeypatch.setenv(FFMPEG_OPTIONS, "rtsp_transport;udp")
    open_network("rtsp://host/x", "rtsp://host/x", 2.5)
    assert capture.made[1].options == "rtsp_transport;udp"
    assert os.environ[FFMPEG_OPTIONS] == "rtsp_transport;udp"

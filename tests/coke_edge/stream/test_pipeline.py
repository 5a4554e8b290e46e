from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.parameters import Parameters
from coke_edge.stream.pipeline import csi_pipeline
from coke_edge.stream.sources import open_source


def test_csi() -> None:
    text = csi_pipeline(1, Parameters(size=(1920, 1080), fps=59.94))
    assert "nvarguscamerasrc sensor-id=1 !" in text
    assert "width=1920,height=1080,framerate=60/1" in text


class Capture:
    """OpenCV with GStreamer in it, which pip's is not; it refuses one pipeline."""

    def __init__(self, pipeline: str, backend: int) -> None:
        self.opened = backend == cv2.CAP_GSTREAMER and pipeline.startswith(
            "good ! videoconvert ! video/x-raw,format=BGR"
        )

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return self.opened

    def read(self) -> tuple[bool, Any]:
        return True, np.zeros((4, 6, 3), np.uint8)

    def release(self) -> None:
        pass


@pytest.fixture
def opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda backend: backend == cv2.CAP_GSTREAMER)
    monkeypatch.setenv("PATH", "")  # no gst-launch-1.0


def test_in_opencv_where_there_is_nothing_else(opencv: None) -> None:
    frame = next(iter(open_source("gst:good")))
    assert frame.image.shape == (4, 6, 3)
    with pytest.raises(StreamError, match="try it with gst-launch-1"):
        next(iter(open_source("gst:bad")))

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D
from coke_edge.stream.frame import Frame, Result

INSIST = "COKE_EDGE_GSTREAMER"  # set to 1: tests that cannot have GStreamer or its RTSP server fail instead of skipping
SYSTEM_PYTHON = "/usr/bin/python3"  # the one that Debian's python3-gi is for
RTSP_IMPORTS = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
)


def lack(what: str) -> None:
    """Skip the test, or fail it where nothing may be lacking."""
    if os.environ.get(INSIST) == "1":
        pytest.fail(f"{what}, and {INSIST}=1 demands it")
    pytest.skip(what)


@pytest.fixture
def gstreamer() -> None:
    """gst-launch-1.0 with the good plugins."""
    if shutil.which("gst-launch-1.0") is None:
        lack("no gst-launch-1.0: apt install gstreamer1.0-tools gstreamer1.0-plugins-good")


@pytest.fixture
def rtsp_python(gstreamer: None) -> str:
    """A Python that can run GStreamer's RTSP server."""
    try:
        subprocess.run([SYSTEM_PYTHON, "-c", RTSP_IMPORTS], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        lack("no RTSP server: apt install python3-gi gir1.2-gst-rtsp-server-1.0")
    return SYSTEM_PYTHON


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts to connect again that follow each other faster than on a device."""
    monkeypatch.setattr("coke_edge.stream.backoff.FIRST", 0.05)
    monkeypatch.setattr("coke_edge.stream.backoff.LAST", 0.2)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video of 12 frames, 64 × 48 at 25 per second, each of its own grey: 20 · index."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (64, 48))
    for index in range(12):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    return path


@pytest.fixture
def result():
    """Function (index, size, name, path) → a result with one keypoint."""

    def result(
        index: int = 0, size: tuple[int, int] = (48, 64), name: str = "a.png", path: Path | None = None
    ) -> Result:
        one = np.ones(1)
        keypoints = Keypoints(Keypoints2D(("tip",)), np.array([[5.0, 7.0]]), one, one, one, one, np.zeros(4))
        image = np.full((*size, 3), 20 * index, np.uint8)
        return Result(Frame(index, image, name, index / 25, path), (keypoints,), 0.01)

    return result

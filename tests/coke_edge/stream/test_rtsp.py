"""`rtsp://` against GStreamer's RTSP server, in a process of its own."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.sources import open_source

SERVER = """
import sys, gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_shared(True)
factory.set_launch("( videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=30/1 ! "
                   "jpegenc ! rtpjpegpay name=pay0 pt=26 )")
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
server.get_mount_points().add_factory("/camera", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""


@pytest.fixture
def serve(rtsp_python: str, free_port: int) -> Iterator[Callable[[], str]]:
    """Function → address, which starts the server; `serve.end()` kills it."""
    running: list[subprocess.Popen[str]] = []

    def start() -> str:
        command = [rtsp_python, "-c", SERVER, str(free_port)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        running.append(server)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        return f"rtsp://127.0.0.1:{free_port}/camera"

    def end() -> None:
        while running:
            server = running.pop()
            server.kill()
            server.communicate()

    start.end = end  # type: ignore[attr-defined]
    yield start
    end()


def test_killed_and_restarted_three_times(
    serve: Callable[[], str], quick_backoff: None, caplog: pytest.LogCaptureFixture
) -> None:
    source = open_source(serve(), timeout=2)
    since, restarts, ages = 0, 0, []
    with caplog.at_level(logging.WARNING):
        for frame in source:
            assert frame.image.shape == (240, 320, 3)
            assert frame.captured is not None
            ages.append(time.monotonic() - frame.captured)
            since += 1
            if since < 10:
                continue
            if restarts == 3:
                break
            serve.end()  # type: ignore[attr-defined]
            threading.Timer(0.5, serve).start()
            restarts, since = restarts + 1, 0
    said = [record.getMessage() for record in caplog.records]
    assert source.outages == 3  # type: ignore[attr-defined]
    assert len([line for line in said if "is lost, trying again" in line]) == 3
    assert len([line for line in said if "is back after" in line]) == 3
    assert sorted(ages)[len(ages) // 2] < 1 / 30


def test_no_such_stream(serve: Callable[[], str]) -> None:
    address = serve().replace("/camera", "/nothing").replace("//", "//me:secret@")
    with pytest.raises(StreamError, match=r"/nothing cannot be opened within 2 s") as caught:
        list(open_source(address, timeout=2))
    assert "secret" not in str(caught.value)


def test_nobody_there(free_port: int) -> None:
    with pytest.raises(StreamError, match="is the server up"):
        list(open_source(f"rtsp://127.0.0.1:{free_port}/camera", timeout=1))

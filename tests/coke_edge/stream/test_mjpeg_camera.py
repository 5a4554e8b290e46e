from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.sources import open_source

# Sends the files of a folder, over and over. The path chooses: /length, /boundary (no lengths), /once (then the end),
# /stall (one frame, then silence), /page (no stream), /secret (asks for a password).
SERVER = """
import http.server, itertools, pathlib, sys, time
port, folder, pause = int(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3])
files = [path.read_bytes() for path in sorted(folder.iterdir())]

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        kind = self.path.partition("?")[0]
        if kind == "/secret" and self.headers.get("Authorization") != "Basic bWU6cEBzcw==":
            return self.send_error(401)
        if kind == "/missing":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if kind == "/page" else
                         "multipart/x-mixed-replace; boundary=--cut")
        self.end_headers()
        for data in itertools.cycle(files) if kind != "/once" else files:
            length = "" if kind == "/boundary" else f"Content-Length: {len(data)}\\r\\n"
            self.wfile.write(f"--cut\\r\\nContent-Type: image/jpeg\\r\\n{length}\\r\\n".encode() + data + b"\\r\\n")
            time.sleep(60 if kind == "/stall" else pause)

http.server.ThreadingHTTPServer.daemon_threads = True
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
print("ready", flush=True)
server.serve_forever()
"""
GREYS = (0, 60, 120, 180)


@pytest.fixture
def serve(free_port: int, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Function (files, pause) → address, which starts a server process; the last one is killed first."""
    running: list[subprocess.Popen[str]] = []

    def start(files: list[bytes] | None = None, pause: float = 0.02) -> str:
        end()
        folder = tmp_path / "frames"
        folder.mkdir(exist_ok=True)
        for index, data in enumerate(files or [jpeg(grey) for grey in GREYS]):
            (folder / f"{index:02d}").write_bytes(data)
        command = [sys.executable, "-S", "-c", SERVER, str(free_port), str(folder), str(pause)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        running.append(server)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        return f"http://127.0.0.1:{free_port}"

    def end() -> None:
        for server in running:
            server.kill()
            server.communicate()
        running.clear()

    start.end = end  # type: ignore[attr-defined]
    yield start
    end()


def jpeg(grey: int, size: tuple[int, int] = (64, 48)) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((size[1], size[0]), grey, np.uint8))[1])


@pytest.mark.parametrize("path", ["/length?user=1", "/boundary"])
def test_frames_in_colour(serve: Callable[..., str], path: str) -> None:
    frames = []
    for frame in open_source(serve() + path, timeout=5):
        frames.append(frame)
        if len(frames) == 6:
            break
    for frame in frames:
        assert frame.image.shape == (48, 64, 3)
        assert frame.image.mean() == GREYS[frame.index % 4]
    assert frames[0].name.endswith("/000000")
    assert "?" not in frames[0].name


def test_killed_and_restarted_three_times(
    serve: Callable[..., str], quick_backoff: None, caplog: pytest.LogCaptureFixture
) -> None:
    source = open_source(serve() + "/length", timeout=1)
    since_restart, restarts = 0, 0
    with caplog.at_level(logging.WARNING):
        for _ in source:
            since_restart += 1
            if since_restart < 3:
                continue
            if restarts == 3:
                break
            serve.end()  # type: ignore[attr-defined]
            threading.Timer(0.3, serve).start()
            restarts, since_restart = restarts + 1, 0
            time.sleep(0.1)
    said = [record.getMessage() for record in caplog.records]
    assert source.outages == 3  # type: ignore[attr-defined]
    assert len([line for line in said if "is lost" in line]) == 3
    assert len([line for line in said if "is back after" in line]) == 3


def test_damaged_frames_and_changing_sizes(serve: Callable[..., str]) -> None:
    files = [jpeg(60), jpeg(60)[:-20], b"no picture", jpeg(120, (33, 21)), b""]
    sizes = set()
    for frame in open_source(serve(files) + "/length", timeout=5):
        assert frame.index % 5 in (0, 3)
        sizes.add(frame.image.shape)
        if len(sizes) == 2:
            break
    assert sizes == {(48, 64, 3), (21, 33, 3)}


def test_silence_is_an_outage(serve: Callable[..., str]) -> None:
    with pytest.raises(StreamError, match=r"/stall sent nothing for 0\.3 s"):
        list(open_source(serve() + "/stall", reconnect=False, timeout=0.3))


def test_stop_does_not_wait_for_the_timeout(serve: Callable[..., str]) -> None:
    source = open_source(serve() + "/stall", timeout=30)
    threading.Timer(0.3, source.stop).start()
    start = time.monotonic()
    assert len(list(source)) == 1
    assert time.monotonic() - start < 2


def test_the_end_without_reconnection(serve: Callable[..., str]) -> None:
    frames = list(open_source(serve() + "/once", reconnect=False, timeout=5))
    assert frames[-1].index == 3


def test_a_password_is_sent_and_not_shown(serve: Callable[..., str]) -> None:
    address = serve().removeprefix("http://")
    frame = next(iter(open_source(f"http://me:p%40ss@{address}/secret", timeout=5)))
    assert "ss" not in frame.name
    with pytest.raises(StreamError, match="401 Unauthorized") as caught:
        list(open_source(f"http://me:wrong@{address}/secret", timeout=5))
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "sentence"), [("/missing", "404 Not Found"), ("/page", "sends text/html, not multipart")]
)
def test_what_is_no_camera(serve: Callable[..., str], path: str, sentence: str) -> None:
    with pytest.raises(StreamError, match=sentence):
        list(open_source(serve() + path, timeout=5))


def test_nobody_there(free_port: int) -> None:
    with pytest.raises(StreamError, match="cannot be reached"):
        list(open_source(f"http://127.0.0.1:{free_port}/", timeout=1))

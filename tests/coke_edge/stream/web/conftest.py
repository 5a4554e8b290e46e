"""A view that a test feeds with results, and a headless Chromium that looks at it.

The browser is driven over its debugging pipe: messages of JSON, each ended by a zero byte.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D
from coke_edge.stream.frame import Frame, Result
from coke_edge.stream.web.address import Address, outward_host
from coke_edge.stream.web.sink import WebSink

LAYOUT = Keypoints2D(("left_eye", "right_eye", "nose"), ((0, 2), (1, 2)), ((0, 1),))

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome-headless-shell")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
PATIENCE = 30.0  # seconds


class Browser:
    """One tab, which remembers what the page logged."""

    def __init__(self, program: str, profile: Path) -> None:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        self._process = subprocess.Popen(
            [
                "bash",
                "-c",
                f'exec "$@" 3<&{to_read} 4>&{to_write}',
                "bash",
                program,
                *FLAGS,
                f"--user-data-dir={profile}",
                "--remote-debugging-pipe",
                "about:blank",
            ],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._received = b""
        self._number = 0
        self._session: str | None = None
        self.complaints: list[str] = []  # errors and warnings of the page, exceptions, refused loads
        self.addresses: list[str] = []  # all that was asked for
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the debugging protocol and wait for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            piece = os.read(self._read, 1 << 16)
            assert piece, "the browser is gone"
            self._received += piece
        message, _, self._received = self._received.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        if event.get("method") == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.complaints.append(str(parameters["args"]))
        if event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        if event.get("method") == "Network.requestWillBeSent":
            self.addresses.append(parameters["request"]["url"])

    def go(self, url: str) -> None:
        """Open a page."""
        self.send("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script: str) -> Any:
        """The value of an expression, once it is a true one."""
        end = time.monotonic() + PATIENCE
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"{script} is still {value!r}"
            time.sleep(0.05)
        return value

    def look(
        self, width: int, height: int, dark: bool = False, scale: float = 1, phone: bool = False
    ) -> None:
        """Take on the size and the colours of a screen."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, whole: bool = False, **options: Any) -> bytes:
        """The page as PNG, or as `format` says."""
        answer = self.send("Page.captureScreenshot", captureBeyondViewport=whole, **options)
        return base64.b64decode(answer["data"])

    def close(self) -> None:
        """End the browser."""
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        self._process.wait(10)


def result_of(index: int = 0, size: tuple[int, int] = (120, 160), noise: bool = False) -> Result:
    """A result of a frame whose grey is 10 · index, with three keypoints: one moves, one is hidden, one is lost."""
    image = np.full((*size, 3), 10 * index % 256, np.uint8)
    if noise:
        image = np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)
    xy = np.array([[10.0 + index, 20.0], [30.0, 40.25], [np.nan, np.nan]])
    keypoints = Keypoints(
        layout=LAYOUT,
        xy=xy,
        similarity=np.array([0.75, -0.125, np.nan]),
        clutter=np.array([0.5, 0.25, np.nan]),
        soft_clutter=np.array([0.5, 0.25, np.nan]),
        visible=np.array([0.9, 0.2, 0.0]),
        box=np.array([0.0, 0.0, 159.0, 119.0]),
    )
    frame = Frame(index, image, "camera", index / 30, None, time.monotonic() - 0.04, dropped=2 * index)
    return Result(frame, (keypoints,), 0.012)


@pytest.fixture
def make_result() -> Callable[..., Result]:
    """Function (index, size, noise) → a result."""
    return result_of


def paint(result: Result) -> np.ndarray:
    """The bare frame."""
    return result.frame.image


@pytest.fixture
def view() -> Iterator[Callable[..., tuple[WebSink, str]]]:
    """Function (host, paint) → an open sink on a free port, and the link that it announced."""
    opened = []

    def view(host: str = "127.0.0.1", paint: Callable[[Result], np.ndarray] = paint) -> tuple[WebSink, str]:
        links: list[str] = []
        sink = WebSink(f"http://{host}:0", paint, links.append)
        opened.append(sink.__enter__())
        assert len(links) == 1
        return sink, links[0]

    yield view
    for sink in opened:
        sink.__exit__(None, None, None)


@pytest.fixture
def outward() -> str:
    """An address of this machine that others can reach; the test is skipped where there is none."""
    host = outward_host()
    if Address(host, 0).loopback or not host.replace(".", "").isdigit():
        pytest.skip("this machine has no network: no address but its loopback one")
    return host


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A headless Chromium with a fresh profile; the test is skipped where there is none."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium-headless-shell (Debian) or chromium")
    browser = Browser(program, tmp_path / "profile")
    yield browser
    browser.close()

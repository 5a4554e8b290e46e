"""A view that a test feeds with results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D
from coke_edge.stream.frame import Frame, Result
from coke_edge.stream.web.address import Address, outward_host
from coke_edge.stream.web.sink import WebSink

LAYOUT = Keypoints2D(("left_eye", "right_eye", "nose"), ((0, 2), (1, 2)), ((0, 1),))


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

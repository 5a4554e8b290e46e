"""The window, over a toolkit that only notes what it is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from coke_edge.errors import StreamError
from coke_edge.stream import window_sink
from coke_edge.stream.sinks import Closed, open_sink


class FakeWindows:
    """Keys that are pressed one after the other (-1: none), and whether the window is still there."""

    def __init__(self, keys: list[int], visible: bool = True) -> None:
        self.keys, self.visible = keys, visible
        self.shown: list[Any] = []
        self.calls: list[str] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> FakeWindows:
        monkeypatch.setenv("DISPLAY", ":0")
        for name, function in {
            "currentUIFramework": lambda: "FAKE",
            "namedWindow": lambda *a: self.calls.append("open"),
            "resizeWindow": lambda title, width, height: self.calls.append(f"{width}x{height}"),
            "imshow": lambda title, image: self.shown.append(image),
            "waitKey": lambda milliseconds: self.keys.pop(0),
            "getWindowProperty": lambda *a: float(self.visible),
            "destroyAllWindows": lambda: self.calls.append("close"),
        }.items():
            monkeypatch.setattr(window_sink.cv2, name, function)
        return self


def paint(result):
    return result.frame.image


def test_every_result_is_shown(monkeypatch: pytest.MonkeyPatch, result) -> None:
    windows = FakeWindows([-1, -1]).install(monkeypatch)
    with open_sink("window:", paint) as sink:
        sink(result(1))
        sink(result(2))
    assert [image[0, 0, 0] for image in windows.shown] == [20, 40]
    assert windows.calls == ["open", "64x48", "close"]
    assert sink.written == ["window:"]


@pytest.mark.parametrize("key", [ord("q"), 27, 0x100000 | ord("q")])
def test_keys_that_close(monkeypatch: pytest.MonkeyPatch, result, key: int) -> None:
    windows = FakeWindows([-1, key]).install(monkeypatch)
    with open_sink("window:", paint) as sink:
        sink(result(1))
        with pytest.raises(Closed):
            sink(result(2))
    assert windows.calls[-1] == "close"


def test_the_windows_own_button(monkeypatch: pytest.MonkeyPatch, result) -> None:
    FakeWindows([-1], visible=False).install(monkeypatch)
    with open_sink("window:", paint) as sink, pytest.raises(Closed):
        sink(result(1))


def test_a_single_picture_stays_until_a_key_is_pressed(monkeypatch: pytest.MonkeyPatch, result) -> None:
    windows = FakeWindows([-1, -1, -1, ord("x"), 27]).install(monkeypatch)
    with open_sink("window:", paint) as sink:
        sink(result(1))
        assert len(windows.keys) == 4
    assert windows.keys == []


def test_a_live_window_does_not_stay(monkeypatch: pytest.MonkeyPatch, result) -> None:
    FakeWindows([-1]).install(monkeypatch)
    with open_sink("window:", paint, live=True) as sink:
        sink(result(1))


def test_an_opencv_without_windows_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_sink.cv2, "currentUIFramework", lambda: "")
    with pytest.raises(StreamError, match="pip install opencv-python"):
        open_sink("window:", paint)


def test_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeWindows([]).install(monkeypatch)
    monkeypatch.setattr(window_sink.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StreamError, match="no screen"):
        open_sink("window:", paint)

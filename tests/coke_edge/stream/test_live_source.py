from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.camera import Shot
from coke_edge.stream.live_source import LiveSource
from coke_edge.stream.pattern import PatternCamera, pattern


class Script:
    """A camera whose connections go as told: a number of frames, then an error or the end (None)."""

    def __init__(self, *connections: tuple[int, str | None], interval: float = 0.01) -> None:
        self.connections = list(connections)
        self.interval = interval
        self.open = 0

    def connect(self) -> Script:
        if not self.connections:
            raise StreamError("nobody there")
        self.left, self.end = self.connections.pop(0)
        self.open += 1
        return self

    def read(self) -> Shot | None:
        if self.left == 0:
            if self.end is not None:
                raise StreamError(self.end)
            return None
        self.left -= 1
        time.sleep(self.interval)
        return lambda: np.zeros((2, 2, 3), np.uint8)

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        self.open -= 1


class Silent:
    """A camera that sends nothing; it can be interrupted, or hangs."""

    def __init__(self, hangs: bool = False) -> None:
        self.hangs = hangs
        self.interrupted = threading.Event()
        self.closed = False

    def read(self) -> None:
        self.interrupted.wait(3)

    def interrupt(self) -> None:
        if not self.hangs:
            self.interrupted.set()

    def close(self) -> None:
        self.closed = True


def test_a_slow_reader_gets_the_newest_frame() -> None:
    fps = 60
    waits, indices = [], []  # the age of a result is the wait and the detection after it
    for frame in LiveSource("cam", lambda: PatternCamera((64, 48), fps)):
        assert frame.captured is not None
        waits.append(time.monotonic() - frame.captured)
        indices.append(frame.index)
        assert frame.dropped == frame.index + 1 - len(indices)
        np.testing.assert_array_equal(frame.image, pattern(frame.index, (64, 48)))
        time.sleep(0.1)  # the detector
        if len(waits) == 20:
            break
    assert np.quantile(waits, 0.8) < 1 / fps + 0.02  # what a busy machine may add
    assert indices[-1] > 2 * len(indices)


def test_memory_stays_flat() -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    class Picture(np.ndarray):  # a plain array cannot be referred to weakly by a set
        __hash__ = object.__hash__  # type: ignore[assignment]

    class Counting(PatternCamera):
        def read(self) -> Shot | None:
            time.sleep(0.0005)
            image = np.zeros((480, 640, 3), np.uint8).view(Picture)
            alive.add(image)
            return lambda: image

    most = 0
    for frame in LiveSource("cam", Counting):
        most = max(most, len(alive))
        time.sleep(0.005)
        if frame.index > 300:
            break
    assert most <= 4  # the one in the box, the one in hand, the one before, the one that is made
    gc.collect()


def test_lost_and_found_is_said_once_per_outage(
    quick_backoff: None, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script((3, "unplugged"), (0, "no answer"), (0, None), (3, None), (4, "unplugged again"))
    source = LiveSource("cam", script.connect)
    with caplog.at_level(logging.INFO):
        frames = []
        for frame in source:
            frames.append(frame)
            if frame.index == 9:
                break
    said = [record.getMessage() for record in caplog.records]
    assert [line.split(",")[0].split(" after")[0] for line in said[:4]] == [
        "cam is lost",
        "cam is back",
        "cam is lost",
        "cam is back",
    ]
    assert said[0].endswith("unplugged")
    assert said[2].endswith("the stream ended")
    assert source.outages >= 2
    assert script.open == 0
    times = [frame.time for frame in frames]
    assert times == sorted(times)  # type: ignore[type-var]


def test_a_camera_that_never_gave_a_frame_is_an_error() -> None:
    with pytest.raises(StreamError, match="nobody there"):
        list(LiveSource("cam", Script().connect))
    with pytest.raises(StreamError, match="cam ended without a frame"):
        list(LiveSource("cam", Script((0, None)).connect))


def test_without_reconnection_the_end_is_the_end() -> None:
    frames = list(LiveSource("cam", Script((2, None), (2, None)).connect, reconnect=False))
    assert frames[-1].index == 1
    with pytest.raises(StreamError, match="unplugged"):
        list(LiveSource("cam", Script((2, "unplugged"), (2, None)).connect, reconnect=False))


def test_damaged_frames_are_skipped_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    class Damaged(PatternCamera):
        def read(self) -> Shot | None:
            shot = super().read()
            return shot if self._index % 2 else lambda: None

    source = LiveSource("cam", lambda: Damaged((8, 8), 200))
    for delivered, frame in enumerate(source, 1):
        assert frame.index % 2 == 0
        assert frame.index + 1 == delivered + frame.dropped
        if delivered == 5:
            break
    assert len([record for record in caplog.records if "damaged" in record.getMessage()]) == 1


def test_a_bug_in_a_camera_is_raised() -> None:
    def connect() -> PatternCamera:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(LiveSource("cam", connect))


def stopped_within(source: LiveSource, stop: Callable[[], None]) -> float:
    """Seconds from `stop`, called after a moment, to the end of the frames."""
    called = []

    def call() -> None:
        called.append(time.monotonic())
        stop()

    threading.Timer(0.1, call).start()
    assert list(source) == []
    return time.monotonic() - called[0]


def test_stop_ends_a_silent_camera() -> None:
    camera = Silent()
    source = LiveSource("cam", lambda: camera)
    assert stopped_within(source, source.stop) < 0.5
    assert camera.closed


def test_stop_ends_a_camera_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coke_edge.stream.live_source.JOIN", 0.2)
    source = LiveSource("cam", lambda: Silent(hangs=True))
    assert stopped_within(source, source.stop) < 0.7


def test_stop_ends_the_wait_for_the_next_attempt() -> None:
    source = LiveSource("cam", Script((1, "unplugged")).connect)
    frames = iter(source)
    next(frames)
    threading.Timer(0.2, source.stop).start()
    start = time.monotonic()
    assert list(frames) == []
    assert time.monotonic() - start < 1


def test_stopped_before_it_began() -> None:
    source = LiveSource("cam", Silent)
    source.stop()
    assert list(source) == []


def test_leaving_the_loop_closes_the_camera() -> None:
    script = Script((1000, None))
    frames = iter(LiveSource("left", script.connect))
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert script.open == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "capture left"]

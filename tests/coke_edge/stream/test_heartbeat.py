"""What systemd and the log hear, over a real socket as systemd opens it."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coke_edge.stream.frame import Frame
from coke_edge.stream.heartbeat import Heartbeat, Watched
from coke_edge.stream.log import logging_to
from coke_edge.stream.systemd import notify, watchdog_seconds
from coke_edge.stream.tally import Tally


class Manager:
    """The side of the socket that systemd has."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(0.01)

    def heard(self) -> list[str]:
        """What came since the last time."""
        found = []
        try:
            while True:
                found.append(self._socket.recv(4096).decode())
        except TimeoutError:
            return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    yield manager
    manager.close()


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


class Camera:
    """Gives a frame whenever one is put in."""

    live, length, frames_per_second = True, None, 30.0

    def __init__(self, frames: list[Frame]) -> None:
        self.frames = frames

    def __iter__(self) -> Iterator[Frame]:
        yield from self.frames


def test_a_word_to_systemd(manager: Manager) -> None:
    assert notify("READY=1")
    assert manager.heard() == ["READY=1"]


def test_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"coke-edge-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    assert notify("STOPPING=1")
    assert manager.heard() == ["STOPPING=1"]
    manager.close()


@pytest.mark.parametrize("address", [None, "", "relative", "/nowhere/notify"])
def test_without_systemd_nothing_is_sent(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify("READY=1")


def test_the_watchdogs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for usec, process, expected in (
        (None, None, None),
        ("30000000", None, 30),
        ("30000000", str(os.getpid()), 30),
        ("30000000", "1", None),
        ("soon", None, None),
        ("0", None, None),
    ):
        for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", process)):
            monkeypatch.delenv(name, raising=False)
            if value is not None:
                monkeypatch.setenv(name, value)
        assert watchdog_seconds() == expected


def test_watchdog_hears_of_a_detector_that_works_or_waits_and_not_of_one_that_hangs(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, result
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "150000")
    source = Watched(Camera([result(0).frame]))
    with Heartbeat(source, Tally(), every=100):
        heard: list[str] = []
        wait_for(lambda: heard.extend(manager.heard()) or heard.count("WATCHDOG=1") >= 2)  # no frame yet
        assert heard[0] == "READY=1"
        frames = iter(source)
        next(frames)
        time.sleep(0.3)  # the frame is worked on for longer than the watchdog allows
        manager.heard()
        time.sleep(0.2)
        assert manager.heard() == []
        assert next(frames, None) is None
        wait_for(lambda: "WATCHDOG=1" in manager.heard())
    assert manager.heard()[-1] == "STOPPING=1"


def test_statistics_go_to_the_log_the_status_and_the_screen(manager: Manager, result) -> None:
    lines: list[str] = []
    said: list[str] = []
    tally = Tally()
    for _ in tally.through([result(i) for i in range(5)], threading.Event()):
        pass
    with (
        logging_to(lines.append, as_json=True),
        Heartbeat(Watched(Camera([])), tally, 0.05, lambda: {"reconnects": 2}, said.append),
    ):
        wait_for(lambda: len(lines) >= 2)
    found = [json.loads(line) for line in lines]
    assert {one["event"] for one in found} == {"statistics"}
    assert found[0]["frames"] == 5
    assert found[0]["frames_per_second"] > 20
    assert found[-1]["frames_per_second"] == 0
    assert found[0]["latency_ms"]["median"] == pytest.approx(10)
    assert found[0]["reconnects"] == 2
    assert said[0].endswith(" frames a second, 0 dropped")
    assert f"STATUS={said[0]}" in manager.heard()


def test_a_watched_source_is_the_source() -> None:
    source = Watched(Camera([]))
    assert (source.live, source.length, source.frames_per_second) == (True, None, 30.0)


def test_a_tally_ends_when_it_is_told(result) -> None:
    over, tally = threading.Event(), Tally()
    for i, _ in enumerate(tally.through((result(k) for k in range(10)), over)):
        if i == 3:
            over.set()
    assert tally.frames == 4


def test_the_log_for_people_has_sentences_and_no_statistics() -> None:
    lines: list[str] = []
    logger = logging.getLogger("coke_edge.stream.live_source")
    with logging_to(lines.append, as_json=False):
        logger.warning("%s is lost", "camera")
        logger.info("…", extra={"event": "statistics"})
        logger.debug("not at all")
    logger.warning("after the block")
    assert lines == ["camera is lost"]


def test_the_log_for_machines_is_json_whatever_is_in_it() -> None:
    lines: list[str] = []
    with logging_to(lines.append, as_json=True):
        logger = logging.getLogger("coke_edge.stream.live_source")
        logger.warning("%s\nis lost", "camera", extra={"fields": {"path": Path("a"), "nan": float("nan")}})
        try:
            raise ValueError("odd")
        except ValueError:
            logger.exception("a bug")
    first, second = (json.loads(line) for line in lines)
    assert (first["event"], first["level"], first["message"]) == ("live_source", "warning", "camera\nis lost")
    assert (first["path"], first["nan"]) == ("a", None)
    assert first["time"].endswith("+00:00")
    assert "ValueError: odd" in second["traceback"]

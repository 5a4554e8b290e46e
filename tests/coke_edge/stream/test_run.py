from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coke_edge.detector import Detector
from coke_edge.stream.frame import Result
from coke_edge.stream.run import detect, run, statistics
from coke_edge.stream.sinks import open_sink
from coke_edge.stream.sources import open_source


def endless(result, signal_at: int = -1, number: int = signal.SIGINT) -> Iterator[Result]:
    for index in range(10_000):
        if index == signal_at:
            os.kill(os.getpid(), number)
        yield result(index % 10)


def test_limits(result) -> None:
    summary = run(endless(result), [], frames=7)
    assert (summary.frames, summary.ended) == (7, "frames")
    summary = run(endless(result), [], duration=0.0)
    assert (summary.frames, summary.ended) == (1, "duration")
    summary = run([result(0), result(1)], [], frames=5)
    assert (summary.frames, summary.ended) == (2, "end")
    assert summary.last is not None
    assert summary.last.frame.index == 1
    assert summary.latency_ms == pytest.approx({"median": 10, "p95": 10, "max": 10})


def test_nothing(result) -> None:
    summary = run([], [])
    assert (summary.frames, summary.latency_ms, summary.last) == (0, {}, None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_finishes_the_sinks(tmp_path: Path, result, number: int) -> None:
    before = signal.getsignal(number)
    sink = open_sink(str(tmp_path / "out.mp4"), lambda r: r.frame.image, 25.0)
    summary = run(endless(result, signal_at=5, number=number), [sink])
    assert (summary.frames, summary.ended) == (6, "interrupt")
    assert len(list(open_source(str(tmp_path / "out.mp4")))) == 6
    assert signal.getsignal(number) is before


def test_a_sink_that_fails_does_not_leave_the_others_open(tmp_path: Path, result) -> None:
    class Broken:
        written: list[str] = []  # noqa: RUF012

        def __enter__(self) -> Broken:
            return self

        def __exit__(self, *error: object) -> None: ...

        def __call__(self, result: Result) -> None:
            if result.frame.index == 2:
                raise RuntimeError

    lines = open_sink(str(tmp_path / "out.jsonl"), lambda r: r.frame.image)
    with pytest.raises(RuntimeError):
        run(endless(result), [lines, Broken()])
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3


def test_every_frame_of_a_video_and_the_same_twice(video: Path, bundle_path: Path, tmp_path: Path) -> None:
    detector = Detector(bundle_path, threads=1)
    written = []
    for name in ("one.jsonl", "two.jsonl"):
        sink = open_sink(str(tmp_path / name), lambda r: r.frame.image)
        summary = run(detect(detector, open_source(str(video)), [None, (5, 5, 40, 40)]), [sink])
        assert summary.frames == 12
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert summary.last is not None
    assert len(summary.last.objects) == 2


def test_statistics() -> None:
    assert statistics([3.0, 1.0, 2.0]) == pytest.approx({"median": 2, "p95": 2.9, "max": 3})


class Stalled:
    """A source that gives one result and then waits until it is stopped."""

    def __init__(self, result: Result) -> None:
        self._result = result
        self.stopped = threading.Event()

    def __iter__(self) -> Iterator[Result]:
        yield self._result
        assert self.stopped.wait(10)

    def stop(self) -> None:
        self.stopped.set()


def test_a_signal_does_not_wait_for_another_frame(result) -> None:
    source = Stalled(result(0))
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    summary = run(source, [], stop=source.stop)
    assert (summary.frames, summary.ended) == (1, "interrupt")
    assert summary.seconds < 5


def test_a_duration_does_not_wait_for_another_frame(result) -> None:
    source = Stalled(result(0))
    summary = run(source, [], duration=0.1, stop=source.stop)
    assert (summary.frames, summary.ended) == (1, "duration")
    assert summary.seconds < 5


def test_ages_and_dropped_frames_are_summed_up(result) -> None:
    old = dataclasses.replace(result(1).frame, captured=time.monotonic() - 0.5, dropped=3)
    summary = run([result(0), dataclasses.replace(result(1), frame=old, delivered=time.monotonic())], [])
    assert summary.age_ms["median"] == pytest.approx(500, abs=50)
    assert summary.dropped == 3
    assert run([result(0)], []).age_ms == {}

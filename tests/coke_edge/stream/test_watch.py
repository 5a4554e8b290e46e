from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import coke_edge
from coke_edge.detector import Detector
from coke_edge.errors import BundleError, StreamError
from coke_edge.stream.frame import Frame
from coke_edge.stream.run import detect
from coke_edge.stream.smoothing import OneEuro


@pytest.fixture(scope="module")
def detector(bundle_path: Path) -> Detector:
    return Detector(bundle_path, threads=1)


@pytest.fixture
def moving(tmp_path: Path, paint) -> Path:
    """A video of 20 frames in which three blobs move."""
    path = tmp_path / "blobs.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (200, 160))
    for t in range(20):
        writer.write(
            paint(200, 160, {0: (40.0 + 2 * t, 60.0), 1: (110.0 + 2 * t, 50.0), 2: (80.0 + t, 110.0)})
        )
    writer.release()
    return path


def test_a_bundle_and_a_uri(moving: Path, bundle_path: Path) -> None:
    results = list(coke_edge.watch(bundle_path, str(moving), region="track", smoothing=OneEuro()))
    assert [result.frame.index for result in results] == list(range(20))
    assert all(len(result.objects) == 1 for result in results)
    assert all(result.age is None for result in results)


def test_tracking_and_smoothing_give_the_same_twice(moving: Path, detector: Detector) -> None:
    """On a video they go by its own times, whatever the clock says."""

    def lines(pause: float) -> list[str]:
        found = []
        for result in coke_edge.watch(detector, moving, region="track", smoothing=OneEuro()):
            found.append(json.dumps(result.to_dict()))
            time.sleep(pause)
        return found

    quick = lines(0.0)
    assert len(quick) == 20
    assert quick == lines(0.005)
    plain = [json.dumps(result.to_dict()) for result in coke_edge.watch(detector, moving, region="track")]
    assert plain != quick


def test_arrays_and_frames_of_ones_own(detector: Detector, paint) -> None:
    image = paint(200, 160, {0: (45.0, 60.0), 1: (150.0, 70.0), 2: (100.0, 120.0)})
    mine = Frame(7, image, "mine", 0.5)
    first, second = coke_edge.watch(detector, [image, mine], smoothing=OneEuro())
    assert (first.frame.index, first.frame.name, first.frame.time) == (0, "000000", None)
    assert (second.frame.index, second.frame.name) == (7, "mine")
    assert np.array_equal(first.objects[0].xy, detector(image).xy)


def test_leaving_the_loop_closes_the_source(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Endless:
        def __iter__(self) -> Iterator[Frame]:
            try:
                for index in range(1000):
                    yield Frame(index, np.zeros((8, 8, 3), np.uint8), str(index))
            finally:
                closed.append(index)

    monkeypatch.setattr("coke_edge.stream.watch.open_source", lambda uri: Endless())
    for result in coke_edge.watch(detector, "0"):
        if result.frame.index == 3:
            break
    assert closed == [3]
    with contextlib.closing(coke_edge.watch(detector, "0")) as results:
        next(results)
    assert closed == [3, 0]


def test_what_cannot_be_watched(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(StreamError):
        next(coke_edge.watch(detector, tmp_path / "missing.mp4"))
    with pytest.raises(BundleError):
        next(coke_edge.watch(tmp_path / "missing.coke", []))
    with pytest.raises(StreamError, match="no region"):
        next(coke_edge.watch(detector, [], region="nowhere"))


def test_frames_that_waited_too_long_are_dropped_and_counted(detector: Detector) -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    now = time.monotonic()
    ages = [0.0, 10.0, 10.0, 0.0, 10.0, 0.0]
    dropped = [0, 0, 1, 1, 1, 2]  # by the source itself
    frames = [
        Frame(i, image, str(i), float(i), captured=now - age, dropped=d)
        for i, (age, d) in enumerate(zip(ages, dropped, strict=True))
    ]
    results = list(detect(detector, frames, max_age=5.0))
    assert [result.frame.index for result in results] == [0, 3, 5]
    assert [result.frame.dropped for result in results] == [0, 3, 5]
    assert all(result.age is not None and result.age < 5 for result in results)
    assert len(list(detect(detector, frames))) == 6
    of_a_file = [dataclasses.replace(frame, captured=None) for frame in frames]
    assert len(list(detect(detector, of_a_file, max_age=0.0))) == 6

"""Frames to measure on are the same in every row, and say what they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from coke_edge.benchmarks.bench.frames import Generated, open_frames, regions
from coke_edge.errors import DataError
from coke_edge.stream.images import write_image


def test_generated_frames_differ_and_come_again() -> None:
    frames = open_frames("generated")
    assert frames.size == (480, 640)
    assert not np.array_equal(frames.read(0), frames.read(1))
    assert np.array_equal(frames.read(1), Generated().read(1))
    frames.read(0)[:] = 0
    assert frames.read(0).any()  # what a caller does to a frame stays with it


def test_images_are_named_by_their_bytes(tmp_path: Path) -> None:
    for i in range(2):
        write_image(tmp_path / f"{i}.png", np.full((20 + i, 30, 3), 40 * i, np.uint8))
    one, folder = open_frames(str(tmp_path / "1.png")), open_frames(str(tmp_path))
    assert hashlib.sha256((tmp_path / "1.png").read_bytes()).hexdigest() in one.description
    assert (one.size, folder.size) == ((21, 30), (20, 30))
    assert [folder.read(i).shape[0] for i in range(3)] == [20, 21, 20]
    assert str(tmp_path.parent) not in folder.description  # a result tells nothing of whose disk it was


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no image or folder"):
        open_frames(str(tmp_path / "none.png"))
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(DataError, match="truncated, or no image"):
        open_frames(str(tmp_path / "text.png"))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_regions_lie_in_the_frame(count: int) -> None:
    boxes = np.array(regions(100, 200, count))
    assert boxes.shape == (count, 4)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (200, 100)).all()
    assert len(np.unique(boxes, axis=0)) == count

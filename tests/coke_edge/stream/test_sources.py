from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from coke_edge.errors import DataError, StreamError
from coke_edge.stream.images import write_image
from coke_edge.stream.sources import open_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, one of them in a folder below, beside a text file."""
    for grey, name in enumerate(["b.png", "a.jpg", "deep/c.png"]):
        write_image(tmp_path / "in" / name, np.full((8, 10, 3), 50 * grey, np.uint8))
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    (tmp_path / "in" / ".hidden.png").write_text("no picture")
    return tmp_path / "in"


def names(uri: str | Path) -> list[str]:
    source = open_source(str(uri))
    frames = list(source)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert source.length == len(frames)
    return [frame.name for frame in frames]


def test_one_picture(folder: Path) -> None:
    [frame] = open_source(str(folder / "b.png"))
    assert frame.name == "b.png"
    assert frame.path == folder / "b.png"
    assert frame.time is None
    assert frame.image.shape == (8, 10, 3)


def test_a_folder_in_the_order_of_names(folder: Path) -> None:
    assert names(folder) == ["a.jpg", "b.png"]


def test_a_file_comes_before_a_camera(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "b.png").rename("0")
    write_image(folder / "test:" / "b.png", np.zeros((4, 4, 3), np.uint8))
    assert names("test:") == ["b.png"]
    with pytest.raises(StreamError, match="neither an image nor a video"):
        open_source("0")


def test_stop_ends_files(folder: Path, video: Path) -> None:
    for uri, first in ((folder, 1), (video, 3)):
        source = open_source(str(uri))
        assert not source.live
        seen = 0
        for frame in source:
            assert frame.captured is None
            assert frame.dropped == 0
            seen += 1
            if seen == first:
                source.stop()
        assert seen == first


def test_globs_keep_folders_apart(folder: Path) -> None:
    assert names(folder / "*.png") == ["b.png"]
    assert names(folder / "**" / "*.png") == ["b.png", "deep/c.png"]
    assert names(folder / "d*" / "*.png") == ["deep/c.png"]


def test_globs_below_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert names("*.png") == ["b.png"]


def test_a_name_with_brackets_is_a_name_first(folder: Path) -> None:
    write_image(folder / "x[1].png", np.zeros((4, 4, 3), np.uint8))
    assert names(folder / "x[1].png") == ["x[1].png"]


def test_a_video(video: Path) -> None:
    source = open_source(str(video))
    frames = list(source)
    assert source.frames_per_second == 25
    assert source.length == len(frames) == 12
    assert [round(frame.image.mean() / 20) for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(12) / 25, atol=1e-3)
    assert frames[3].name == "clip.mp4/000003"


@pytest.mark.parametrize("uri", ["missing.png", "missing", "ftp://camera", "nothing/*.png", "file:x.png"])
def test_what_there_is_not(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StreamError) as caught:
        open_source(uri)
    assert "\n" not in str(caught.value)
    assert "image" in str(caught.value)


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(StreamError, match=r"scheme 'ftp'; there is an image file, a folder"):
        open_source("ftp://camera/stream")


def test_folders_and_files_without_a_picture(tmp_path: Path) -> None:
    with pytest.raises(StreamError, match="no image in"):
        open_source(str(tmp_path))
    text = tmp_path / "notes.txt"
    text.write_text("words " * 1000)
    with pytest.raises(StreamError, match="neither an image nor a video"):
        open_source(str(text))


def test_a_broken_picture_in_a_folder_is_an_error(folder: Path) -> None:
    os.truncate(folder / "b.png", 20)
    with pytest.raises(DataError, match=r"b\.png"):
        list(open_source(str(folder)))


def test_a_video_cut_in_half(video: Path) -> None:
    os.truncate(video, video.stat().st_size // 2)
    with pytest.raises(StreamError, match=r"clip\.mp4"):
        list(open_source(str(video)))

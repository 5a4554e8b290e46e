from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from coke_edge.errors import StreamError
from coke_edge.stream import video_sink
from coke_edge.stream.images import read_image
from coke_edge.stream.sinks import open_sink
from coke_edge.stream.sources import open_source


def paint(result):
    return result.frame.image


def put(uri: object, *results: object) -> list[str]:
    with open_sink(str(uri), paint, 25.0) as sink:
        for result in results:
            sink(result)
    return sink.written


def test_one_picture(tmp_path: Path, result) -> None:
    target = tmp_path / "new" / "out.png"
    assert put(target, result(3)) == [str(target)]
    assert (read_image(target) == 60).all()


def test_one_picture_takes_no_second(tmp_path: Path, result) -> None:
    with pytest.raises(StreamError, match="give a folder"):
        put(tmp_path / "out.png", result(1), result(2))
    assert (read_image(tmp_path / "out.png") == 20).all()


def test_a_folder_keeps_names(tmp_path: Path, result) -> None:
    written = put(
        f"{tmp_path}/out/",
        result(1),
        result(2, name="deep/b.jpg"),
        result(3, name="clip.mp4/000003"),
        result(4, name="c.pgm"),
    )
    files = sorted(
        str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*") if p.is_file()
    )
    assert files == ["a.png", "c.pgm.jpg", "clip.mp4/000003.jpg", "deep/b.jpg"]
    assert written == [f"{tmp_path}/out/"]


def test_a_video_plays_and_has_every_frame(tmp_path: Path, result) -> None:
    target = tmp_path / "out.mp4"
    put(target, *(result(i) for i in range(12)))
    source = open_source(str(target))
    assert source.frames_per_second == 25
    assert [round(frame.image.mean() / 20) for frame in source] == list(range(12))
    assert list(tmp_path.iterdir()) == [target]


def test_a_video_of_odd_size_loses_the_last_row_and_column(tmp_path: Path, result) -> None:
    put(tmp_path / "out.mp4", *(result(i, size=(49, 65)) for i in range(4)))
    frames = list(open_source(str(tmp_path / "out.mp4")))
    assert len(frames) == 4
    assert frames[0].image.shape == (48, 64, 3)


def test_a_frame_of_another_size_is_fitted_into_the_video_and_that_is_said_once(
    tmp_path: Path, result, caplog: pytest.LogCaptureFixture
) -> None:
    put(
        tmp_path / "out.mp4",
        result(3),
        result(10, size=(24, 64)),
        result(10, size=(20, 10)),
        result(3, (48, 64)),
    )
    frames = [frame.image for frame in open_source(str(tmp_path / "out.mp4"))]
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 4
    assert frames[1][20:28].mean() == pytest.approx(200, abs=8)  # the wide one lies between black bars
    assert frames[1][:8].mean() < 10
    assert frames[2][:, 28:36].mean() == pytest.approx(200, abs=8)
    assert len(caplog.records) == 1
    assert "64 by 24 pixels are fitted" in caplog.text


def test_a_video_stops_and_plays_before_the_disk_is_full(
    tmp_path: Path, result, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([2**30, 2**30, 2**20])
    monkeypatch.setattr(video_sink.shutil, "disk_usage", lambda path: SimpleNamespace(free=next(free)))
    with pytest.raises(StreamError, match="1 MiB are free"):
        put(tmp_path / "out.mp4", result(1), result(2), result(3))
    assert len(list(open_source(str(tmp_path / "out.mp4")))) == 2


def test_an_interrupt_leaves_a_video_that_plays_and_whole_lines(tmp_path: Path, result) -> None:
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012, SIM117
        with (
            open_sink(str(tmp_path / "o.mp4"), paint, 25) as video,
            open_sink(str(tmp_path / "o.jsonl"), paint) as lines,
        ):
            for i in range(5):
                video(result(i))
                lines(result(i))
            raise KeyboardInterrupt
    assert len(list(open_source(str(tmp_path / "o.mp4")))) == 5
    assert len([json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.jsonl", "o.mp4"]


def test_jsonl(tmp_path: Path, result) -> None:
    target = tmp_path / "out.jsonl"
    put(target, result(0), result(1))
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["index"] for line in lines] == [0, 1]
    assert lines[1]["time"] == 0.04
    assert lines[0]["name"] == "a.png"
    [thing] = lines[0]["objects"]
    assert thing["keypoints"] == [
        {"name": "tip", "x": 5, "y": 7, "similarity": 1, "clutter": 1, "soft_clutter": 1, "visible": 1}
    ]


def test_jsonl_on_stdout(result, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert put("-", result(0), result(1)) == ["-"]
    assert [json.loads(line)["index"] for line in capfdbinary.readouterr().out.splitlines()] == [0, 1]


@pytest.mark.parametrize("name", ["out.png", "out.mp4", "out.jsonl", "out.csv", "out.json", "out/"])
def test_no_result_no_file(tmp_path: Path, name: str) -> None:
    assert put(f"{tmp_path}/{name}") == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["file/out.png", "file/out.mp4", "file/out.jsonl", "file/out.csv", "file/out/"]
)
def test_unwritable(tmp_path: Path, result, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StreamError, match="cannot write"):
        put(f"{tmp_path}/{name}", result())


@pytest.mark.parametrize("name", ["x.png", "x.mp4", "x.jsonl", "x.csv", "x.json", ""])
def test_the_source_is_never_overwritten(tmp_path: Path, result, name: str) -> None:
    source = tmp_path / (name or "x.png")
    source.write_bytes(b"precious")
    with pytest.raises(StreamError, match="source itself"):
        put(f"{tmp_path}/{name}", result(name=source.name, path=source))
    assert source.read_bytes() == b"precious"


@pytest.mark.parametrize("uri", ["window://", "out.xyz", "ftp://host:1"])
def test_what_there_is_not(uri: str) -> None:
    with pytest.raises(StreamError, match="give an image"):
        open_sink(uri, paint)


FULL_DISK = """
import resource, signal, sys
import numpy as np
from coke_edge.errors import StreamError
from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D
from coke_edge.stream.frame import Frame, Result
from coke_edge.stream.sinks import open_sink
one = np.ones(1)
objects = (Keypoints(Keypoints2D(("tip",)), np.array([[5.0, 7.0]]), one, one, one, one, np.zeros(4)),)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, 2 * (int(sys.argv[2]),))
noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
try:
    with open_sink(sys.argv[1], lambda result: result.frame.image, 25.0) as sink:
        for i in range(1000):
            sink(Result(Frame(i, noise, f"{i}.png"), objects, 0.0))
except StreamError as error:
    sys.exit(f"sentence: {error}")
"""


def fill(target: object, room: int) -> None:
    """Write until there is no room. A limit on the size of files stands for the disk: it looks the same."""
    command = [sys.executable, "-c", FULL_DISK, str(target), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith("sentence: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["out.png", "out.mp4", "out/"])
def test_no_room_left(tmp_path: Path, name: str) -> None:
    fill(f"{tmp_path}/{name}", 20_000)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.json"])
def test_records_that_had_room_stay_whole(tmp_path: Path, name: str) -> None:
    """As many of 1000 as fit."""
    fill(tmp_path / name, 20_000)
    text = (tmp_path / name).read_text()
    assert 19_000 < len(text) <= 20_000
    if name == "out.json":
        records = json.loads(text)
    elif name == "out.jsonl":
        records = [json.loads(line) for line in text.splitlines()]
    else:
        records = list(csv.DictReader(text.splitlines()))
        assert not any(None in row.values() for row in records)
    assert 50 < len(records) < 1000
    assert list(tmp_path.iterdir()) == [tmp_path / name]


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.json"])
def test_a_file_without_room_for_one_record_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("of yesterday")
    fill(tmp_path / name, 20)
    assert (tmp_path / name).read_text() == "of yesterday"
    assert list(tmp_path.iterdir()) == [tmp_path / name]

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.frame import Result
from coke_edge.stream.records import write_whole
from coke_edge.stream.sinks import open_sink


def put(uri: Path, *results: Result, live: bool = False) -> list[str]:
    with open_sink(str(uri), lambda result: result.frame.image, live=live) as sink:
        for result in results:
            sink(result)
    return sink.written


def taken(result: Result) -> Result:
    """The result as of a live source, half a second old."""
    now = time.monotonic()
    return dataclasses.replace(
        result, frame=dataclasses.replace(result.frame, captured=now - 0.5, path=None), delivered=now
    )


def test_csv(tmp_path: Path, result) -> None:
    put(tmp_path / "o.csv", result(0, name='a "b",c.png'), result(1))
    rows = list(csv.DictReader((tmp_path / "o.csv").open(newline="")))
    assert [(row["index"], row["name"], row["object"], row["keypoint"]) for row in rows] == [
        ("0", 'a "b",c.png', "0", "tip"),
        ("1", "a.png", "0", "tip"),
    ]
    assert (float(rows[1]["x"]), float(rows[1]["y"]), float(rows[1]["time"])) == (5, 7, 0.04)
    assert (rows[0]["captured"], rows[0]["age"]) == ("", "")


def test_a_point_without_a_peak_is_empty_in_a_table(tmp_path: Path, result) -> None:
    one = result(0)
    keypoints = dataclasses.replace(one.objects[0], xy=np.full((1, 2), np.nan))
    put(tmp_path / "o.csv", dataclasses.replace(one, objects=(keypoints,)))
    [row] = csv.DictReader((tmp_path / "o.csv").open(newline=""))
    assert (row["x"], row["y"], row["similarity"]) == ("", "", "1.0")
    assert row["hidden_x"] == row["hidden_y"] == row["elsewhere"] == ""


def test_where_a_keypoint_is_if_hidden_is_in_a_table(tmp_path: Path, result) -> None:
    one = result(0)
    hidden = dataclasses.replace(one.objects[0], hidden_xy=np.array([[50.5, 70.0]]), visible=np.array([0.1]))
    put(tmp_path / "o.csv", dataclasses.replace(one, objects=(hidden,)))
    [row] = csv.DictReader((tmp_path / "o.csv").open(newline=""))
    assert [row[key] for key in ("x", "y", "hidden_x", "hidden_y", "elsewhere")] == [
        "5.0",
        "7.0",
        "50.5",
        "70.0",
        "True",
    ]


def test_rows_are_not_put_under_other_columns(tmp_path: Path, result) -> None:
    path = tmp_path / "o.csv"
    path.write_text("index,x,y\n0,1,2\n")
    with pytest.raises(StreamError, match=r"o\.csv has other columns .*name another file"):
        put(path, taken(result(0)), live=True)
    assert path.read_text() == "index,x,y\n0,1,2\n"


def test_coco_is_what_pycocotools_reads(tmp_path: Path, result) -> None:
    nothing = dataclasses.replace(result(2), objects=())
    put(tmp_path / "o.json", result(0), result(1, name="b.png"), nothing)
    found = json.loads((tmp_path / "o.json").read_text())
    assert [(one["image_id"], one["file_name"], one["category_id"]) for one in found] == [
        (0, "a.png", 1),
        (1, "b.png", 1),
    ]
    assert found[0]["keypoints"] == [5, 7, 2]
    assert found[0]["score"] == 1


def test_coco_results_without_an_object_are_an_empty_list(tmp_path: Path, result) -> None:
    put(tmp_path / "o.json", dataclasses.replace(result(0), objects=()))
    assert json.loads((tmp_path / "o.json").read_text()) == []


def test_coco_takes_the_numbers_of_cocos_own_pictures(tmp_path: Path, result) -> None:
    put(tmp_path / "o.json", result(0, name="000000000139.jpg"), result(1, name="000000000285.jpg"))
    assert [one["image_id"] for one in json.loads((tmp_path / "o.json").read_text())] == [139, 285]


def test_coco_does_not_mix_two_kinds_of_numbers(tmp_path: Path, result) -> None:
    with pytest.raises(StreamError, match=r"b\.jpg is not named by its COCO image number"):
        put(tmp_path / "o.json", result(0, name="000000000139.jpg"), result(1, name="b.jpg"))
    assert len(json.loads((tmp_path / "o.json").read_text())) == 1


def test_coco_counts_the_frames_of_a_video_that_is_named_by_a_number(tmp_path: Path, result) -> None:
    put(tmp_path / "o.json", *(result(i, name=f"20240101.mp4/{i:06d}") for i in range(3)))
    assert [one["image_id"] for one in json.loads((tmp_path / "o.json").read_text())] == [0, 1, 2]


def test_coco_takes_no_number_twice(tmp_path: Path, result) -> None:
    with pytest.raises(StreamError, match=r"01\.png has the image number 1 of a picture before it"):
        put(tmp_path / "o.json", result(0, name="1.jpg"), result(1, name="01.png"))
    assert [one["image_id"] for one in json.loads((tmp_path / "o.json").read_text())] == [1]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "json"])
def test_files_give_the_same_bytes_in_every_run(tmp_path: Path, result, suffix: str) -> None:
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        put(path, *(result(i, path=tmp_path / "a.png") for i in range(3)))
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_live_run_adds_to_what_is_there(tmp_path: Path, result, suffix: str) -> None:
    path = tmp_path / f"o.{suffix}"
    put(path, taken(result(0)), live=True)
    put(path, taken(result(1)), taken(result(2)), live=True)
    text = path.read_text()
    if suffix == "csv":
        assert text.count("keypoint") == 1
        assert [row["index"] for row in csv.DictReader(text.splitlines())] == ["0", "1", "2"]
    else:
        assert [json.loads(line)["index"] for line in text.splitlines()] == [0, 1, 2]


def test_lines_of_a_live_run_are_there_at_once_and_tell_time_and_age(tmp_path: Path, result) -> None:
    path = tmp_path / "o.jsonl"
    with open_sink(str(path), lambda result: result.frame.image, live=True) as sink:
        sink(taken(result(0)))
        line = json.loads(path.read_text())
    assert line["age"] == pytest.approx(0.5)
    assert line["captured"] == pytest.approx(time.time() - 0.5, abs=0.4)


def test_a_line_that_a_power_cut_left_half_is_ended(tmp_path: Path, result) -> None:
    path = tmp_path / "o.jsonl"
    path.write_bytes(b'{"index":0}\n{"ind')
    put(path, taken(result(7)), live=True)
    lines = path.read_text().splitlines()
    assert lines[1] == '{"ind'
    assert json.loads(lines[2])["index"] == 7


@pytest.mark.parametrize("suffix", ["mp4", "json"])
def test_a_restarted_live_run_keeps_earlier_recordings(tmp_path: Path, result, suffix: str) -> None:
    path = tmp_path / f"o.{suffix}"
    written = [put(path, taken(result(i)), live=True) for i in range(3)]
    names = [f"o.{suffix}", f"o-2.{suffix}", f"o-3.{suffix}"]
    assert written == [[str(tmp_path / name)] for name in names]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)


class FullFile(io.BytesIO):
    """A file on a disk that takes a few bytes more at its end, and then none."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data: Any) -> int:
        free = max(0, self.room - self.tell())
        if free == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(bytes(data[:free]))


def test_a_record_that_does_not_fit_is_taken_back() -> None:
    file = FullFile(15)
    write_whole(file, b"0123456789")
    with pytest.raises(OSError, match="No space"):
        write_whole(file, b"0123456789")
    assert file.getvalue() == b"0123456789"


def test_a_file_ends_with_its_tail_at_any_time() -> None:
    file = FullFile(15)
    file.write(b"[]")
    for record in (b"abc", b"", b"defg"):
        write_whole(file, record, b"]")
    assert file.getvalue() == b"[abcdefg]"
    with pytest.raises(OSError, match="No space"):
        write_whole(file, b"01234567", b"]")
    assert file.getvalue() == b"[abcdefg]"


PRINTER = """
import numpy as np
from coke_edge.stream.frame import Frame, Result
from coke_edge.stream.sinks import Closed, open_sink
try:
    with open_sink("-", None) as sink:
        for i in range(100_000):
            sink(Result(Frame(i, np.zeros((1, 1, 3), np.uint8), "x"), (), 0.0))
except Closed:
    raise SystemExit(7)
"""


def test_a_reader_that_leaves_ends_the_run_without_noise() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PRINTER], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["index"] == 0
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 7
    process.stderr.close()


def test_live_lines_on_stdout(result, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with open_sink("-", lambda r: r.frame.image, live=True) as sink:
        sink(taken(result(3)))
        assert json.loads(capfdbinary.readouterr().out)["index"] == 3

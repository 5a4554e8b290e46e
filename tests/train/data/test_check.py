from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from coke_edge.errors import DataError
from coke_edge.train.data.check import KeypointCount, check_dataset

Make = Callable[..., Path]
SPLITS = ("train", "val", "test")


def test_a_sound_data_set(make_coco: Make) -> None:
    seen: list[tuple[int, int]] = []
    report, datasets = check_dataset(f"coco:{make_coco(10)}", SPLITS, lambda *done: seen.append(done))
    assert report.usable
    assert [one.objects for one in report.splits] == [len(d.samples) for d in datasets] == [8, 1, 1]
    assert report.splits[0].keypoints == [
        KeypointCount("left_rim", 8, 0, 0),
        KeypointCount("right_rim", 0, 8, 0),
        KeypointCount("base", 0, 0, 8),
    ]
    assert (report.in_train_and_held_out, report.sides) == ([], [])
    assert seen[-1] == (10, 10)


def test_missing_and_unreadable_images_are_listed(make_coco: Make, tmp_path: Path) -> None:
    path = make_coco(4)
    (tmp_path / "2.png").unlink()
    data = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(data[: len(data) // 2])
    report, _ = check_dataset(f"coco:{path}?split=all", ["train"])
    assert report.splits[0].missing == [str(tmp_path / "2.png")]
    assert len(report.splits[0].unreadable) == 1
    assert "3.png" in report.splits[0].unreadable[0]
    assert not report.usable


@pytest.mark.parametrize(
    ("point", "outside"),
    [((0, 0), False), ((39, 29), False), ((40, 29), False), ((42, 29), True), ((5, -3), True)],
)
def test_points_outside_the_image(make_coco: Make, point: tuple[int, int], outside: bool) -> None:
    path = make_coco(2, annotation={"keypoints": [*point, 2, 20, 6, 1, 0, 0, 0]})  # images are 40 × 30
    report, _ = check_dataset(f"coco:{path}?split=all", ["train"])
    assert report.splits[0].points_outside == (["1#101"] if outside else [])
    assert report.usable


@pytest.mark.parametrize(
    ("bbox", "outside"),
    [([0, 0, 40, 30], False), ([0, 0, 44, 30], True), ([-4, 0, 10, 10], True)],
)
def test_boxes_outside_the_image(make_coco: Make, bbox: list[int], outside: bool) -> None:
    report, _ = check_dataset(f"coco:{make_coco(2, annotation={'bbox': bbox})}?split=all", ["train"])
    assert report.splits[0].boxes_outside == (["1#101"] if outside else [])


def test_copies_are_found_by_what_they_show(make_coco: Make, tmp_path: Path) -> None:
    path = make_coco(4, annotation={"keypoints": [7, 5, 2, 20, 6, 1, 0, 0, 0]})  # as the one of image 2
    shutil.copy(tmp_path / "2.png", tmp_path / "1.png")
    report, _ = check_dataset(f"coco:{path}?split=all", ["train"])
    assert report.splits[0].duplicates == ["2#102"]


def test_held_out_pictures_that_are_in_training_are_found(make_coco: Make, tmp_path: Path) -> None:
    held_out = make_coco(3, name="held_out.json")
    for n in (1, 2, 3):
        (tmp_path / f"{n}.png").rename(tmp_path / f"held_{n}.png")
    held_out.write_text(held_out.read_text().replace('"file_name": "', '"file_name": "held_'))
    path = make_coco(3)
    for n in (1, 3):
        (tmp_path / f"{n}.png").write_bytes((tmp_path / "held_2.png").read_bytes() + b" ")
    report, _ = check_dataset(f"coco:{path}?val={held_out}", ["train", "val"])
    # held_2 is the very picture of train's 1, 2 and 3; held_1 and held_3 were 1 and 3 before these changed.
    assert report.in_train_and_held_out == [str(tmp_path / "held_2.png")]


def test_a_side_without_a_partner_is_reported(make_coco: Make) -> None:
    path = make_coco(2, category={"keypoints": ["left_rim", "right_handle", "base"]})
    report, _ = check_dataset(f"coco:{path}?split=all", ["train"])
    assert [sentence.split()[0] for sentence in report.sides] == ["left_rim", "right_handle"]


def test_a_pair_labelled_on_one_side_is_reported(make_coco: Make) -> None:
    path = make_coco(24)
    text = path.read_text().replace("20, 6, 1,", "0, 0, 0,", 14)
    path.write_text(text)
    report, _ = check_dataset(f"coco:{path}?split=all", ["train"])
    assert report.sides == ["left_rim is labelled 24 times, right_rim 10 times"]


def test_a_split_that_cannot_be_loaded_does_not_hide_the_others(make_coco: Make, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    report, datasets = check_dataset(f"coco:{make_coco(2)}?val={tmp_path}/broken.json", SPLITS)
    assert [d.split for d in datasets] == ["train"]
    assert [one.error is None for one in report.splits] == [True, False]
    assert not report.usable


def test_where_nothing_can_be_loaded_the_reason_is_raised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="joints"):
        check_dataset(f"lsp:{tmp_path}", SPLITS)

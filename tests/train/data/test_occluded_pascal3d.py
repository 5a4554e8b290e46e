from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.train.data import load_dataset
from coke_edge.train.data.check import check_dataset
from coke_edge.train.data.occluded_pascal3d import level_folder
from coke_edge.train.data.sample import COVERED, HIDDEN, UNLABELLED, VISIBLE, NoSuchSplit

Make = Callable[..., Any]


def over(*rows_and_columns: Any, dtype: Any = bool) -> np.ndarray:
    mask = np.zeros((30, 40), dtype)
    mask[rows_and_columns] = np.array(255).astype(dtype)
    return mask


def test_keypoints_under_an_occluder_are_hidden(make_occluded: Make, tmp_path: Path) -> None:
    spec = make_occluded(over(slice(None), slice(0, 20)))  # over (10, 20), not over (30, 20)
    dataset = load_dataset(f"{spec}&level=L1", "test")
    (sample,) = dataset.samples
    names = dataset.keypoints.names
    flags = dict(zip(names, sample.visibility.tolist(), strict=True))
    assert flags["left_front_wheel"] == HIDDEN
    assert flags["left_back_wheel"] == VISIBLE
    assert flags["right_front_wheel"] == HIDDEN  # behind the car itself
    assert flags["left_back_trunk"] == UNLABELLED
    np.testing.assert_array_equal(sample.keypoints[names.index("left_front_wheel")], (10, 20))
    assert sample.image == tmp_path / "occluded/images/carFGL1_BGL1/n0001.JPEG"
    assert sample.key == "carFGL1_BGL1/n0001#0"
    covered = dict(zip(names, sample.meta[COVERED].tolist(), strict=True))
    assert covered["left_front_wheel"] == VISIBLE  # but for the occluder
    assert covered["left_back_wheel"] == UNLABELLED
    assert sample.meta["level"] == "L1"  # the folder's, whatever the file says
    assert (dataset.normaliser, dataset.marks_hidden) == ("box", True)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
@pytest.mark.parametrize(("row", "column", "hidden"), [(20, 10, True), (20, 11, False), (19, 10, False)])
def test_the_very_pixel_decides(make_occluded: Make, dtype: Any, row: int, column: int, hidden: bool) -> None:
    dataset = load_dataset(make_occluded(over(row, column, dtype=dtype)) + "&level=L1", "test")
    assert (dataset.samples[0].visibility[0] == HIDDEN) == hidden


def test_levels_are_folders(make_occluded: Make) -> None:
    make_occluded(level="FGL1_BGL1", name="n1")
    make_occluded(level="FGL1_BGL3", name="n2")
    spec = make_occluded(level="FGL3_BGL3", name="n3")
    keys = [
        load_dataset(f"{spec}&level={level}", "test").samples[0].key for level in ("L1", "FGL1_BGL3", "L3")
    ]
    assert keys == ["carFGL1_BGL1/n1#0", "carFGL1_BGL3/n2#0", "carFGL3_BGL3/n3#0"]
    with pytest.raises(DataError, match=r"cannot read the image list .*carFGL2_BGL2\.txt"):
        load_dataset(f"{spec}&level=L2", "test")
    with pytest.raises(DataError, match="'L4' is no level"):
        load_dataset(f"{spec}&level=L4", "test")


def test_several_categories(make_occluded: Make, write_record: Make, thing: Make, tmp_path: Path) -> None:
    spec = make_occluded()
    occluded = tmp_path / "occluded"
    (occluded / "lists/busFGL1_BGL1.txt").write_text("")
    dataset = load_dataset(spec.replace("category=car", "category=car,bus") + "&level=L1", "test")
    assert len(dataset.keypoints.names) == 24
    assert dataset.samples[0].visibility[dataset.keypoints.names.index("car/left_front_wheel")] == VISIBLE


def test_what_must_be_said(make_occluded: Make) -> None:
    spec = make_occluded()
    for wrong in (spec, spec.partition("?")[0] + "?category=car&level=L1"):
        with pytest.raises(DataError, match=r"pascal3d= with the folder of PASCAL3D.*level="):
            load_dataset(wrong, "test")


def test_there_is_a_test_split_alone_and_the_check_knows(make_occluded: Make) -> None:
    spec = make_occluded() + "&level=L1"
    for split in ("train", "val"):
        with pytest.raises(NoSuchSplit, match="use --split test, and train on pascal3d:"):
            load_dataset(spec, split)
    report, _ = check_dataset(spec, ("train", "val", "test"))
    assert [one.split for one in report.splits] == ["test"]
    assert report.usable
    with pytest.raises(NoSuchSplit):
        check_dataset(spec, ["train"])


def test_a_mask_of_another_size_is_left_out_and_counted(make_occluded: Make) -> None:
    spec = make_occluded(np.zeros((40, 30), bool)) + "&level=L1"
    with pytest.raises(
        DataError, match=r"no labelled object .*1 whose mask and image differ in size were left out"
    ):
        load_dataset(spec, "test")
    make_occluded(name="n0002")
    dataset = load_dataset(spec, "test")
    assert [sample.key for sample in dataset.samples] == ["carFGL1_BGL1/n0002#0"]
    assert dataset.left_out == {"whose mask and image differ in size": 1}


@pytest.mark.parametrize("mask", [np.zeros((30, 40, 3)), np.array("mask"), np.array({}, dtype=object)])
def test_what_is_no_mask_is_refused(make_occluded: Make, mask: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"n0001\.npz"):  # objects are not unpickled
        load_dataset(make_occluded(mask) + "&level=L1", "test")


def test_a_record_that_is_missing_is_named(make_occluded: Make, tmp_path: Path) -> None:
    spec = make_occluded()
    (tmp_path / "pascal3d/Annotations/car_imagenet/n0001.mat").unlink()
    with pytest.raises(DataError, match=r"car_imagenet/n0001\.mat does not exist"):
        load_dataset(f"{spec}&level=L1", "test")


@pytest.mark.parametrize("number", [1, -1])
def test_an_object_that_the_record_does_not_have_is_refused(
    make_occluded: Make, tmp_path: Path, number: int
) -> None:
    mask = np.zeros((30, 40), bool)
    spec = make_occluded(mask) + "&level=L1"
    path = tmp_path / "occluded/annotations/carFGL1_BGL1/n0001.npz"
    for given in (0, number):
        np.savez(path, occluder_mask=mask, object=np.array(given), source=np.array("car_imagenet/n0001.JPEG"))
        if given == 0:
            assert load_dataset(spec, "test", require_images=False).samples
    with pytest.raises(DataError, match=rf"n0001\.npz covers object {number} of a record that has 1"):
        load_dataset(spec, "test", require_images=False)


def test_levels_are_named_from_zero() -> None:
    assert [level_folder("car", level) for level in ("L0", "L3")] == ["carFGL0_BGL0", "carFGL3_BGL3"]

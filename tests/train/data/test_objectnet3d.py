from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.train.data import load_dataset
from coke_edge.train.data.objectnet3d import CATEGORIES
from coke_edge.train.data.records import anchor_names, read_record
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE

Make = Callable[..., Any]
EARS = {"left_ear": (11, 21, 1), "right_ear": (31, 21, 2), "lid": None}


def test_a_hundred_categories() -> None:
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 100
    assert list(CATEGORIES) == sorted(CATEGORIES)


def test_a_sample(make_objectnet3d: Make, thing: Make, tmp_path: Path) -> None:
    spec = make_objectnet3d(
        "pot", {"n01": [thing("pot", EARS), thing("cup", {"rim": (1, 1, 1)})]}, train="n01"
    )
    dataset = load_dataset(spec, "train")
    (sample,) = dataset.samples
    assert dataset.keypoints.names == ("left_ear", "lid", "right_ear")
    assert dataset.keypoints.flip_pairs == ((0, 2),)
    assert sample.image == tmp_path / "Images/n01.JPEG"
    assert sample.visibility.tolist() == [VISIBLE, UNLABELLED, HIDDEN]
    np.testing.assert_array_equal(sample.keypoints[[0, 2]], [(10, 20), (30, 20)])
    np.testing.assert_array_equal(sample.box, (3.5, 4.5, 29.5, 24.5))
    assert (dataset.normaliser, dataset.marks_hidden) == ("box", True)


def test_the_keypoints_are_the_training_lists_in_every_split(make_objectnet3d: Make, thing: Make) -> None:
    records = {
        "a": [thing("pot", {"lid": (3, 4, 1)})],
        "b": [thing("pot", {"ear": (3, 4, 1)})],
        "c": [thing("pot", {"lid": (5, 6, 1), "handle": (1, 2, 1)})],
    }
    spec = make_objectnet3d("pot", records, train="a b", val="c")
    assert load_dataset(spec, "train").keypoints.names == ("ear", "lid")
    dataset = load_dataset(spec, "val")
    assert (dataset.keypoints.names, [s.key for s in dataset.samples]) == (("ear", "lid"), ["c#0"])


def test_objects_without_anchors_are_counted(make_objectnet3d: Make, thing: Make) -> None:
    records = {"a": [thing("pot", EARS), thing("pot", None)], "b": [thing("pot", {"lid": None})], "c": []}
    dataset = load_dataset(make_objectnet3d("pot", records, train="a b c"), "train")
    assert [s.key for s in dataset.samples] == ["a#0"]
    assert dataset.left_out == {"without a labelled keypoint": 2}


def test_a_category_without_any_anchor_says_so(make_objectnet3d: Make, thing: Make) -> None:
    spec = make_objectnet3d("pot,cup", {"a": [thing("pot", EARS), thing("cup", None)]}, train="a")
    with pytest.raises(DataError, match="anchors for cup"):
        load_dataset(spec, "train")
    every = load_dataset(spec.replace("pot,cup", "all"), "train")
    assert every.keypoints.names == ("left_ear", "lid", "right_ear")  # one category has anchors: plain names


def test_pascal3ds_lines_are_drawn_where_the_anchors_have_its_names(
    make_objectnet3d: Make, thing: Make
) -> None:
    car = {"left_front_wheel": (1, 2, 1), "left_back_wheel": (3, 4, 1), "antenna": (5, 6, 1)}
    keypoints = load_dataset(
        make_objectnet3d("car", {"a": [thing("car", car)]}, train="a"), "train"
    ).keypoints
    assert keypoints.names == ("antenna", "left_back_wheel", "left_front_wheel")
    assert keypoints.skeleton == ((1, 2),)


def test_a_missing_list_is_named(make_objectnet3d: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the image list .*train\.txt"):
        load_dataset(make_objectnet3d("pot", {}), "train")


@pytest.mark.data
def test_the_genuine_record(data_root: Path, tmp_path: Path) -> None:
    path = data_root / "objectnet3d/demo.mat"
    record = read_record(path)
    assert record.filename == "n00.JPEG"
    assert record.size == (500, 500)
    assert [thing["class"] for thing in record.objects] == ["drones"]
    assert anchor_names(record, "drones") == []

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.train.data import load_dataset
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE

MakeLsp = Callable[..., Path]


def joints_of(count: int) -> np.ndarray:
    """Joint k of image n at (10 + k, 5 + n / 100), joint 3 occluded."""
    joints = np.zeros((3, 14, count))
    joints[0] = 10 + np.arange(14)[:, None]
    joints[1] = 5 + np.arange(1, count + 1) / 100
    joints[2, 3] = 1
    return joints


def test_splits_by_image_number(make_lsp: MakeLsp) -> None:
    root = make_lsp(joints_of(40), images=40)
    numbers = {
        split: [int(s.key[2:]) for s in load_dataset(f"lsp:{root}", split).samples]
        for split in ("train", "val", "test")
    }
    assert numbers["val"] == [10, 20]
    assert numbers["train"] == [n for n in range(1, 21) if n not in (10, 20)]
    assert numbers["test"] == list(range(21, 41))


def test_a_sample(make_lsp: MakeLsp) -> None:
    root = make_lsp(joints_of(4), images=4)
    dataset = load_dataset(f"lsp:{root}", "train")
    sample = dataset.samples[1]
    assert sample.image == root / "images/im0002.jpg"
    np.testing.assert_allclose(sample.keypoints[5], (15 - 0.5, 5.02 - 0.5), rtol=1e-6)
    assert sample.visibility.tolist() == [VISIBLE] * 3 + [HIDDEN] + [VISIBLE] * 10
    np.testing.assert_allclose(sample.box, (9, 4.02, 23, 5.02), rtol=1e-6)
    assert dataset.normaliser == "torso"
    assert dataset.marks_hidden


def test_names_follow_the_published_order(make_lsp: MakeLsp) -> None:
    keypoints = load_dataset(f"lsp:{make_lsp(joints_of(2), images=2)}", "train").keypoints
    assert keypoints.names[0] == "right_ankle"
    assert keypoints.names[9] == "left_shoulder"
    assert keypoints.names[13] == "head_top"
    assert keypoints.flip_pairs == ((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9))


def test_a_joint_without_a_position_is_unlabelled(make_lsp: MakeLsp) -> None:
    joints = joints_of(2)
    joints[:2, 13, 0] = np.nan
    sample = load_dataset(f"lsp:{make_lsp(joints, images=2)}", "train").samples[0]
    assert sample.visibility[13] == UNLABELLED
    assert np.isnan(sample.keypoints[13]).all()
    assert np.isfinite(sample.box).all()


def test_extended_layout_marks_visible_joints(make_lsp: MakeLsp) -> None:
    joints = np.moveaxis(joints_of(20), 0, 1)  # here joint 3 is the only visible one
    root = make_lsp(joints, images=20, digits=5)
    dataset = load_dataset(f"lsp:{root}", "val")
    assert [s.key for s in dataset.samples] == ["im00010", "im00020"]
    assert dataset.samples[0].visibility.tolist() == [0, 0, 0, VISIBLE] + [0] * 10
    assert not dataset.marks_hidden
    with pytest.raises(DataError, match="no test split"):
        load_dataset(f"lsp:{root}", "test")


def test_missing_images_are_counted_and_the_first_is_named(make_lsp: MakeLsp) -> None:
    root = make_lsp(joints_of(4), images=4)
    (root / "images/im0002.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of the 2 images .*im0002\.jpg"):
        load_dataset(f"lsp:{root}", "train")
    assert len(load_dataset(f"lsp:{root}", "train", require_images=False).samples) == 2


def test_a_folder_without_joints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"joints\.mat does not exist"):
        load_dataset(f"lsp:{tmp_path}", "train")


def test_joints_of_another_data_set_are_refused(make_lsp: MakeLsp) -> None:
    with pytest.raises(DataError, match=r"shape \(3, 16, 2\)"):
        load_dataset(f"lsp:{make_lsp(np.zeros((3, 16, 2)), images=2)}", "train")


def test_parameters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown parameter 'category'"):
        load_dataset(f"lsp:{tmp_path}?category=person", "train")


@pytest.mark.data
def test_the_published_set(data_root: Path) -> None:
    splits = {s: load_dataset(f"lsp:{data_root / 'lsp'}", s) for s in ("train", "val", "test")}
    assert {s: len(d.samples) for s, d in splits.items()} == {"train": 900, "val": 100, "test": 1000}
    assert splits["test"].samples[0].key == "im1001"
    hidden = np.concatenate([s.visibility for d in splits.values() for s in d.samples]) == HIDDEN
    assert 0.05 < hidden.mean() < 0.15  # occlusion is the rarer flag: it is not read the wrong way round

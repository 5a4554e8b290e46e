"""The generated .mat has the genuine form and all of its gaps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.train.data import load_dataset
from coke_edge.train.data.check import check_dataset
from coke_edge.train.data.mpii import _head_size
from coke_edge.train.data.mpii_person import KEYPOINTS
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE, Split

Make = Callable[..., Any]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
EMPTY = np.zeros((0, 0))


def everyone(root: Path, more: str = "") -> Any:
    return load_dataset(f"mpii:{root}?split=all{more}", "train")


def test_a_sample(make_mpii: Make, mpii_person: Make, tmp_path: Path) -> None:
    dataset = everyone(make_mpii([mpii_person()]))
    (sample,) = dataset.samples
    assert sample.image == tmp_path / "images/1.png"
    np.testing.assert_array_equal(sample.keypoints[[0, 15]], [(9, 19), (24, 34)])
    # Place (20, 15) and scale 0.1: centre (19, 14 + 1.5) from 0, side 200 · 0.125.
    np.testing.assert_allclose(sample.box, (6.5, 3, 31.5, 28), atol=1e-5)
    assert sample.meta["head_size"] == pytest.approx(0.6 * 5)
    assert (dataset.normaliser, dataset.counts_hidden, dataset.marks_hidden) == ("head", True, False)
    assert dataset.unscored == ("pelvis", "thorax")


def test_names_and_pairs_are_mpiis() -> None:
    assert KEYPOINTS.flip_pairs == ((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13))
    assert [KEYPOINTS.names[k] for k in (6, 7, 8, 9)] == ["pelvis", "thorax", "upper_neck", "head_top"]


@pytest.mark.parametrize(
    ("flag", "expected"),
    [(1.0, VISIBLE), (0.0, HIDDEN), ("1", VISIBLE), ("0", HIDDEN), (np.uint8(0), HIDDEN), (EMPTY, VISIBLE)],
)
def test_visibility_is_a_number_a_character_or_empty(
    make_mpii: Make, mpii_person: Make, flag: Any, expected: int
) -> None:
    points = [{"x": 5.0, "y": 6.0, "id": 9.0, "is_visible": flag}]
    dataset = everyone(make_mpii([mpii_person(points=points)]))
    assert dataset.samples[0].visibility.tolist() == [UNLABELLED] * 9 + [expected] + [UNLABELLED] * 6
    assert dataset.marks_hidden == (expected == HIDDEN)


def test_visibility_may_be_missing(make_mpii: Make, mpii_person: Make) -> None:
    dataset = everyone(make_mpii([mpii_person(points=[{"id": 0.0, "x": 5.0, "y": 6.0}])]))
    assert dataset.samples[0].visibility[0] == VISIBLE


@pytest.mark.parametrize(
    "point",
    [
        {"id": 16.0},
        {"id": -1.0},
        {"id": 2.5},
        {"id": EMPTY},
        {"x": EMPTY},
        {"y": np.nan},
        {"x": 1e300},
        {"x": "5"},
    ],
)
def test_a_point_that_says_nothing_is_passed_over(
    make_mpii: Make, mpii_person: Make, point: dict[str, Any]
) -> None:
    known = {"x": 5.0, "y": 6.0, "id": 3.0, "is_visible": 1.0}
    sample = everyone(make_mpii([mpii_person(points=[known, {**known, "id": 4.0, **point}])])).samples[0]
    assert np.flatnonzero(sample.visibility).tolist() == [3]


def test_a_single_point_is_a_struct(make_mpii: Make, mpii_person: Make) -> None:
    point = {"x": 5.0, "y": 6.0, "id": 0.0, "is_visible": 1.0}
    sample = everyone(make_mpii([mpii_person(annopoints={"point": point})])).samples[0]
    np.testing.assert_array_equal(sample.keypoints[0], (4, 5))


@pytest.mark.parametrize(
    ("gap", "reason"),
    [
        ({"without": "annopoints"}, "without a labelled joint"),
        ({"annopoints": EMPTY}, "without a labelled joint"),
        ({"points": [{"x": 1.0, "y": 2.0, "id": 99.0}]}, "without a labelled joint"),
        ({"without": "scale"}, "without a scale or a place"),
        ({"scale": EMPTY}, "without a scale or a place"),
        ({"scale": 0.0}, "without a scale or a place"),
        ({"scale": np.nan}, "without a scale or a place"),
        ({"without": "objpos"}, "without a scale or a place"),
        ({"objpos": EMPTY}, "without a scale or a place"),
        ({"objpos": {"x": 3.0}}, "without a scale or a place"),
    ],
)
def test_persons_with_gaps_are_left_out_and_counted(
    make_mpii: Make, mpii_person: Make, gap: dict[str, Any], reason: str
) -> None:
    dataset = everyone(make_mpii([mpii_person(**gap), mpii_person()], []))
    assert [sample.key for sample in dataset.samples] == ["1#1"]
    assert dataset.left_out == {reason: 1}


@pytest.mark.parametrize("gap", [{"without": "x1"}, {"y2": EMPTY}])
def test_without_a_head_box_there_is_no_head_size(
    make_mpii: Make, mpii_person: Make, gap: dict[str, Any]
) -> None:
    assert math.isnan(everyone(make_mpii([mpii_person(**gap)])).samples[0].meta["head_size"])


def test_test_images_are_left_out(make_mpii: Make, mpii_person: Make) -> None:
    dataset = everyone(make_mpii([mpii_person()], [mpii_person(without="annopoints")], training=[1, 0]))
    assert ([s.key for s in dataset.samples], dataset.left_out) == (["1#0"], {})


def test_a_tenth_is_for_the_test_and_a_tenth_of_the_rest_for_validation(
    make_mpii: Make, mpii_person: Make
) -> None:
    root = make_mpii(
        *([mpii_person(), mpii_person()] for _ in range(10)), [], [mpii_person(without="annopoints")]
    )
    images = {split: [s.image.name for s in load_dataset(f"mpii:{root}", split).samples] for split in SPLITS}
    assert {split: len(names) for split, names in images.items()} == {"train": 16, "val": 2, "test": 2}
    seeds = {load_dataset(f"mpii:{root}?seed={seed}", "test").samples[0].image.name for seed in range(8)}
    assert len(seeds) > 1


def test_a_list_says_what_is_for_the_test(make_mpii: Make, mpii_person: Make, tmp_path: Path) -> None:
    root = make_mpii(*([mpii_person()] for _ in range(4)))
    (tmp_path / "valid_images.txt").write_text("3.png\n1.png\n3.png\n")
    spec = f"mpii:{root}?test={tmp_path}/valid_images.txt"
    assert {load_dataset(spec, split).samples[0].key for split in ("train", "val")} == {"2#0", "4#0"}
    assert [s.key for s in load_dataset(spec, "test").samples] == ["1#0", "3#0"]


def test_a_list_of_other_images_is_refused(make_mpii: Make, mpii_person: Make, tmp_path: Path) -> None:
    root = make_mpii(*([mpii_person()] for _ in range(4)))
    (tmp_path / "valid_images.txt").write_text("elsewhere.png\n")
    for split in SPLITS:
        with pytest.raises(DataError, match=r"names none of the annotated images.*their own test images"):
            load_dataset(f"mpii:{root}?test={tmp_path}/valid_images.txt", split)


def test_persons_far_from_others(make_mpii: Make, mpii_person: Make) -> None:
    alone = np.empty((3, 1), object)
    alone[:, 0] = [np.array([[2.0]]), EMPTY, np.array([[1.0, 2.0]])]
    root = make_mpii(*([mpii_person(), mpii_person()] for _ in range(3)), single_person=alone)
    assert len(everyone(root).samples) == 6
    assert [s.key for s in everyone(root, "&persons=separated").samples] == ["1#1", "3#0", "3#1"]


def entry(n: int = 1, **changes: Any) -> dict[str, Any]:
    joints = [[10.0 + j, 20.0 + j] for j in range(16)]
    whole = {
        "image": f"{n}.png",
        "joints": joints,
        "joints_vis": [1] * 16,
        "center": [20.0, 15.0],
        "scale": 0.1,
    }
    return {**whole, **changes}


@pytest.fixture
def make_json(tmp_path: Path) -> Make:
    def make(*entries: Any) -> str:
        (tmp_path / "annotations.json").write_text(json.dumps(entries))
        return f"mpii:{tmp_path}/annotations.json"

    return make


def test_the_json_form_is_the_same_person(make_json: Make, make_mpii: Make, mpii_person: Make) -> None:
    vis = [1] * 15 + [0]
    one = load_dataset(make_json(entry(joints_vis=vis)) + "?split=all", "val", require_images=False).samples[
        0
    ]
    other = everyone(make_mpii([mpii_person()])).samples[0]
    np.testing.assert_array_equal(one.keypoints[:15], other.keypoints[:15])
    np.testing.assert_array_equal(one.box, other.box)
    assert one.visibility.tolist() == [VISIBLE] * 15 + [UNLABELLED]
    assert math.isnan(one.meta["head_size"])


def test_the_json_form_gets_its_head_sizes_from_the_h5(make_json: Make, make_mpii_h5: Make) -> None:
    moved = entry(2, center=[24.0, 15.0])
    spec = (
        make_json(entry(1), moved, entry(3, joints=[], joints_vis=[])) + f"?split=all&heads={make_mpii_h5(2)}"
    )
    dataset = load_dataset(spec, "test", require_images=False)
    sizes = [sample.meta["head_size"] for sample in dataset.samples]
    assert sizes[0] == 3.0
    assert math.isnan(sizes[1])  # another person of that image
    assert dataset.left_out == {"without a labelled joint": 1}


def test_a_head_size_that_is_not_known_leaves_the_persons_own() -> None:
    box = np.array([0.0, 0.0, 10.0, 20.0])
    person = SimpleNamespace(box=box, head_size=2.5)
    unknown, known = (SimpleNamespace(box=box, head_size=size) for size in (math.nan, 4.0))
    assert _head_size(person, [unknown]) == 2.5
    assert _head_size(person, [unknown, known]) == 4.0


def test_heads_of_other_images_are_refused(make_json: Make, make_mpii_h5: Make) -> None:
    with pytest.raises(DataError, match="head size of no person"):
        load_dataset(make_json(entry(7)) + f"?heads={make_mpii_h5(2)}", "train")


def test_the_h5_form_is_the_same_person(make_mpii_h5: Make, make_mpii: Make, mpii_person: Make) -> None:
    visible, part = np.ones((2, 16)), np.full((2, 16, 2), 10.0)
    visible[0, 1] = visible[0, 0] = 0
    part[0, 0] = 0
    path = make_mpii_h5(visible=visible, part=part)
    dataset = load_dataset(f"mpii:{path}?split=all", "val", require_images=False)
    sample = dataset.samples[0]
    assert sample.visibility.tolist() == [UNLABELLED, HIDDEN] + [VISIBLE] * 14
    np.testing.assert_array_equal(sample.keypoints[1], (9, 9))
    np.testing.assert_allclose(sample.box, everyone(make_mpii([mpii_person()])).samples[0].box, atol=1e-5)
    assert [s.meta["head_size"] for s in dataset.samples] == [3.0, 4.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"part": None}, "part"),
        ({"part": np.zeros((2, 14, 2))}, r"'part' is of shape \(2, 14, 2\)"),
        ({"scale": np.array([b"a", b"b"])}, "'scale'"),
        ({"normalize": np.zeros(3)}, r"\(3,\), not \(2,\)"),
        ({"imgname": np.zeros(2)}, "no file name"),
    ],
)
def test_an_h5_of_another_form_is_refused(make_mpii_h5: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(f"mpii:{make_mpii_h5(**changes)}", "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": [[1, 2]] * 14}, "14 'joints' and 16 'joints_vis'"),
        ({"center": "left"}, "no list of MPII's persons"),
        ({"image": ""}, "no 'image'"),
    ],
)
def test_a_json_of_another_form_is_refused(make_json: Make, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(make_json(entry(**change)), "train")


def test_a_folder_without_annotations_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mpii_human_pose_v1_u12_1\.mat does not exist"):
        load_dataset(f"mpii:{tmp_path}", "train")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"\.mat, \.json or \.h5"):
        load_dataset(f"mpii:{tmp_path}/notes.txt", "train")


def test_img_train_of_another_length_is_refused(make_mpii: Make, mpii_person: Make) -> None:
    with pytest.raises(DataError, match="'img_train' is for 3 images, but 'annolist' has 1"):
        everyone(make_mpii([mpii_person()], training=[1, 1, 1]))


@pytest.mark.data
def test_the_real_images_and_their_head_sizes(data_root: Path) -> None:
    folder = data_root / "mpii"
    spec = f"mpii:{folder}/test_mpii.json?split=all&heads={folder}/valid.h5"
    report, (dataset,) = check_dataset(spec, ["test"])
    assert report.usable
    assert len(dataset.samples) == 5
    assert [round(s.meta["head_size"]) for s in dataset.samples] == [118, 44, 78, 81, 84]
    persons = load_dataset(f"mpii:{folder}/valid.h5?split=all", "test", require_images=False)
    assert len(persons.samples) == 2958
    for one, same in zip(dataset.samples, persons.samples[:5], strict=True):
        np.testing.assert_allclose(one.box, same.box, atol=1e-3)
        shared = (one.visibility > 0) & (same.visibility > 0)
        assert shared.sum() == (one.visibility > 0).sum() == (same.visibility > 0).sum()
        assert np.abs(one.keypoints - same.keypoints)[shared].max() <= 1  # the .h5 has whole pixels
    listed = load_dataset(
        f"mpii:{folder}/valid.h5?test={folder}/valid_images.txt", "test", require_images=False
    )
    assert len(listed.samples) == 2958


@pytest.mark.data
def test_the_genuine_format_fixture(data_root: Path) -> None:
    dataset = everyone(data_root / "mpii/mat_fixture")
    assert [s.image.name for s in dataset.samples] == [
        "000000001.jpg",
        "000000002.jpg",
        "000000003.jpg",
        "000000003.jpg",
    ]
    np.testing.assert_array_equal(dataset.samples[0].keypoints[0], (619, 393))
    assert dataset.samples[0].meta["head_size"] == pytest.approx(0.6 * np.hypot(903.4 - 615, 505.6 - 218.65))

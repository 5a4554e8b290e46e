from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.train.data import load_dataset
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE

Make = Callable[..., Path]
SPLITS = ("train", "val", "test")


def images_of(spec: str) -> dict[str, set[str]]:
    return {split: {s.image.name for s in load_dataset(spec, split).samples} for split in SPLITS}  # type: ignore[arg-type]


def test_a_sample(make_coco: Make) -> None:
    path = make_coco()
    dataset = load_dataset(f"coco:{path}?split=all", "train")
    sample = dataset.samples[0]
    np.testing.assert_array_equal(sample.keypoints[:2], [(6, 5), (20, 6)])
    assert np.isnan(sample.keypoints[2]).all()
    assert sample.visibility.tolist() == [VISIBLE, HIDDEN, UNLABELLED]
    np.testing.assert_array_equal(sample.box, (3.5, 2.5, 23.5, 12.5))
    assert sample.image == path.parent / "1.png"
    assert sample.key == "1#101"
    assert dataset.keypoints.skeleton == ((0, 1), (1, 2))
    assert dataset.keypoints.flip_pairs == ((0, 1),)
    assert dataset.marks_hidden
    assert dataset.normaliser == "box"


def test_the_division_covers_every_image_once(make_coco: Make) -> None:
    found = images_of(f"coco:{make_coco(40)}")
    assert {split: len(names) for split, names in found.items()} == {"train": 32, "val": 4, "test": 4}
    assert len(set.union(*found.values())) == 40


def test_the_division_depends_on_the_seed_alone(make_coco: Make) -> None:
    path = make_coco(40)
    before = images_of(f"coco:{path}")
    shuffled = [{"id": n, "file_name": f"{n}.png"} for n in range(40, 0, -1)]
    make_coco(40, images=shuffled)
    assert images_of(f"coco:{path}") == before
    assert images_of(f"coco:{path}?seed=1") != before


def test_a_small_file_still_gives_every_split_an_image(make_coco: Make) -> None:
    assert {split: len(names) for split, names in images_of(f"coco:{make_coco(3)}").items()} == {
        "train": 1, "val": 1, "test": 1,
    }  # fmt: skip


def test_files_of_their_own(make_coco: Make) -> None:
    main, other = make_coco(5), make_coco(3, name="held_out.json")
    third = make_coco(2, name="test.json")
    found = images_of(f"coco:{main}?val={other}&test={third}")
    assert {split: len(names) for split, names in found.items()} == {"train": 5, "val": 3, "test": 2}
    found = images_of(f"coco:{main}?test={third}")
    assert {split: len(names) for split, names in found.items()} == {"train": 4, "val": 1, "test": 2}
    assert not found["train"] & found["val"]
    found = images_of(f"coco:{third}?train={main}")
    assert {split: len(names) for split, names in found.items()} == {"train": 4, "val": 1, "test": 2}


def test_images_are_looked_for_in_several_folders(make_coco: Make, make_image: Make, tmp_path: Path) -> None:
    path = make_coco(2, write_images=False)
    make_image(tmp_path / "a/1.png")
    make_image(tmp_path / "b/2.png")
    dataset = load_dataset(f"coco:{path}?split=all&images={tmp_path}/a&images={tmp_path}/b", "train")
    assert [s.image.parent.name for s in dataset.samples] == ["a", "b"]


def test_an_absent_image_is_named(make_coco: Make, tmp_path: Path) -> None:
    path = make_coco(3)
    (tmp_path / "2.png").unlink()
    with pytest.raises(DataError, match=r"1 of the 3 images .*2\.png"):
        load_dataset(f"coco:{path}?split=all", "train")


@pytest.mark.parametrize(
    "annotation",
    [{"iscrowd": 1}, {"keypoints": [0] * 9}, {"keypoints": []}, {"category_id": 9}],
    ids=["crowd", "nothing labelled", "no keypoints", "another category"],
)
def test_what_cannot_be_learned_from_is_left_out(make_coco: Make, annotation: dict[str, Any]) -> None:
    path = make_coco(3, annotation=annotation)
    assert [s.key for s in load_dataset(f"coco:{path}?split=all", "train").samples] == ["2#102", "3#103"]


@pytest.mark.parametrize("bbox", [None, [], [4, 3, 0, 0]])
def test_without_a_box_the_keypoints_give_one(make_coco: Make, bbox: Any) -> None:
    path = make_coco(1, annotation={"bbox": bbox})
    sample = load_dataset(f"coco:{path}?split=all", "train").samples[0]
    np.testing.assert_array_equal(sample.box, (5.5, 4.5, 20.5, 6.5))


@pytest.mark.parametrize(
    ("category", "pairs"),
    [
        ({"flip_pairs": [["base", "left_rim"]]}, ((2, 0),)),
        ({"flip_pairs": []}, ()),
        ({"flip_indices": [2, 1, 0]}, ((0, 2),)),
    ],
)
def test_flip_pairs_may_be_given(make_coco: Make, category: dict[str, Any], pairs: Any) -> None:
    path = make_coco(1, category=category)
    assert load_dataset(f"coco:{path}?split=all", "train").keypoints.flip_pairs == pairs


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"category": {"skeleton": [[0, 1]]}}, "count keypoints from 1 to 3"),
        ({"category": {"keypoints": ["a", "a", "b"]}}, "names a keypoint twice"),
        ({"category": {"keypoints": []}}, "no category lists 'keypoints'"),
        ({"category": {"flip_indices": [1, 2, 0]}}, "exchange keypoints in pairs"),
        ({"category": {"flip_indices": [1, 0]}}, "exchange keypoints in pairs"),
        ({"category": {"flip_pairs": [["base", "handle"]]}}, "pairs of its keypoints"),
        ({"category": {"flip_pairs": [["base", "base"]]}}, "pairs of its keypoints"),
        ({"annotation": {"keypoints": [1, 2, 2]}}, "annotation 101 has 3 numbers"),
        ({"annotation": {"keypoints": [1, 2, 3] * 3}}, "visibility other than 0, 1 or 2"),
        ({"annotation": {"keypoints": "none"}}, r"Expected `array`, got `str` - at `\$\.annotations"),
        ({"annotation": {"image_id": 77}}, "image 77, which 'images' does not list"),
        ({"annotation": {"id": 102}}, "id 102 stands twice under 'annotations'"),
        ({"images": [{"id": 1, "file_name": "1.png"}] * 2}, "id 1 stands twice under 'images'"),
        ({"annotations": None}, "no COCO keypoints file"),
    ],
)
def test_contradictions_are_named(make_coco: Make, changes: dict[str, Any], sentence: str) -> None:
    path = make_coco(3, **changes)
    with pytest.raises(DataError, match=sentence):
        load_dataset(f"coco:{path}?split=all", "train")


def test_the_category_must_be_chosen_among_several(make_coco: Make) -> None:
    cups = {"id": 3, "name": "cup", "keypoints": ["a", "b", "c"]}
    path = make_coco(2, categories=[cups, {"id": 4, "name": "pan", "keypoints": ["d"]}])
    for query in ("", "&category=pot"):
        with pytest.raises(DataError, match="one of cup, pan"):
            load_dataset(f"coco:{path}?split=all{query}", "train")
    assert len(load_dataset(f"coco:{path}?split=all&category=cup", "train").samples) == 2


@pytest.mark.parametrize(
    ("content", "sentence"), [('{"images": [', "cut off"), ("[1, 2]", "Expected `object`")]
)
def test_what_is_no_coco_file_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=sentence):
        load_dataset(f"coco:{tmp_path / 'a.json'}", "train")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*a\.json"):
        load_dataset(f"coco:{tmp_path / 'a.json'}", "train")


@pytest.mark.data
def test_real_annotations(data_root: Path) -> None:
    dataset = load_dataset(f"coco:{data_root / 'coco/test_coco.json'}?split=all&category=person", "val")
    assert len(dataset.samples) == 12  # of 14 annotations; two have no keypoint
    assert len(dataset.keypoints.flip_pairs) == 8
    assert dataset.keypoints.skeleton[0] == (15, 13)

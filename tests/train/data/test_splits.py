"""Validation chooses the epoch, the margin and the rule: it must share no image with training, nor with the test."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.stream.images import read_image
from coke_edge.train.data import load_dataset
from coke_edge.train.data.check import check_dataset
from coke_edge.train.data.division import ranked
from coke_edge.train.data.pascal3d_anchors import ANCHORS
from coke_edge.train.data.sample import NoObjects, NoSuchSplit, Split

Make = Callable[..., Any]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
SEEN, UNSEEN = {"azimuth": 10.0}, {"azimuth": 100.0}


def names(spec: str, splits: tuple[Split, ...] = SPLITS) -> dict[str, set[str]]:
    """The file names, without suffix, of the images of each split; an empty split has none."""
    found: dict[str, set[str]] = {}
    for split in splits:
        try:
            samples = load_dataset(spec, split, require_images=False).samples
        except NoObjects:
            samples = []
        found[split] = {sample.image.stem for sample in samples}
    return found


def assert_apart(spec: str, splits: tuple[Split, ...] = SPLITS) -> dict[str, set[str]]:
    """No image in two splits, and none of them empty."""
    found = names(spec, splits)
    assert all(found.values()), spec
    for one, other in combinations(splits, 2):
        assert not found[one] & found[other], (spec, one, other)
    return found


@pytest.fixture
def make_pascal3d(tmp_path: Path, thing: Make, write_record: Make) -> Make:
    """Writes {category: {image name: objects or one viewpoint}} with these lists, and returns the specification."""

    def make(records: dict[str, dict[str, Any]], source: str = "pascal", **lists: dict[str, str]) -> str:
        for category, images in records.items():
            anchor = {ANCHORS[category].split()[0]: (11, 21, 1)}
            for name, objects in images.items():
                things = objects if isinstance(objects, list) else [thing(category, anchor, view=objects)]
                write_record(tmp_path / f"Annotations/{category}_{source}/{name}.mat", *things)
        (tmp_path / "Image_sets").mkdir(exist_ok=True)
        for part, by_category in lists.items():
            for category, listed in by_category.items():
                text = "\n".join(listed.split()) + "\n"
                (tmp_path / f"Image_sets/{category}_{source}_{part}.txt").write_text(text)
        return f"pascal3d:{tmp_path}?category={','.join(records)}"

    return make


def numbered(first: int, last: int) -> str:
    return " ".join(f"i{n:02d}" for n in range(first, last))


def test_pascal3d_validates_on_a_tenth_of_the_training_list(make_pascal3d: Make) -> None:
    views = dict.fromkeys(numbered(0, 30).split(), SEEN)
    spec = make_pascal3d({"car": views}, train={"car": numbered(0, 20)}, val={"car": numbered(20, 30)})
    found = assert_apart(spec)
    assert {split: len(images) for split, images in found.items()} == {"train": 18, "val": 2, "test": 10}
    assert found["test"] == set(numbered(20, 30).split())


def test_each_half_of_the_azimuths_and_each_source_has_validation_images(make_pascal3d: Make) -> None:
    views = {"a": SEEN, "b": SEEN, "c": UNSEEN, "d": UNSEEN, "t": SEEN, "u": UNSEEN}
    make_pascal3d({"car": views}, train={"car": "a b c d"}, val={"car": "t u"})
    more = {f"n{name}": view for name, view in views.items()}
    spec = make_pascal3d({"car": more}, source="imagenet", train={"car": "na nb nc nd"}, val={"car": "nt nu"})
    found = assert_apart(spec)
    assert len(found["val"]) == 4
    for source in ("pascal", "imagenet"):
        for half in ("seen", "unseen"):
            part = assert_apart(f"{spec}&source={source}&azimuth={half}")
            assert all(part[split] <= found[split] for split in SPLITS)


def test_no_filter_moves_an_image_to_another_split(make_pascal3d: Make, thing: Make) -> None:
    wheel = {"left_front_wheel": (11, 21, 1)}
    images = {}
    for n in range(40):
        marks = {"truncated": float(n % 2), "difficult": float(n % 3 == 0)}
        things = [
            thing("car", wheel, view=SEEN if n % 4 else UNSEEN, **marks),
            thing("car", wheel, view=UNSEEN),
        ]
        images[f"i{n:02d}"] = things
    spec = make_pascal3d({"car": images}, train={"car": numbered(0, 30)}, val={"car": numbered(30, 40)})
    whole = assert_apart(spec)
    for query in ("truncated=false", "difficult=false", "azimuth=seen", "azimuth=unseen&truncated=false"):
        part = names(f"{spec}&{query}")
        assert part["train"]
        assert all(part[split] <= whole[split] for split in SPLITS)


def test_categories_that_share_images_stay_apart_together(make_pascal3d: Make) -> None:
    """i00 … i19 show a car and a bus, and i20 stands on the bus's training list and on the car's for the test."""
    cars = dict.fromkeys(numbered(0, 25).split(), SEEN)
    buses = dict.fromkeys(numbered(0, 21).split(), UNSEEN) | {"x": SEEN}
    spec = make_pascal3d(
        {"car": cars, "bus": buses},
        train={"car": numbered(0, 20), "bus": numbered(0, 21)},
        val={"car": numbered(20, 25), "bus": "x"},
    )
    both = assert_apart(spec)
    assert "i20" in both["test"]
    for category in ("car", "bus"):
        one = assert_apart(spec.replace("car,bus", category))
        assert one["val"] <= both["val"]  # so the model of both has trained on none of them


def test_what_a_category_holds_out_is_the_same_among_others(make_pascal3d: Make) -> None:
    """26 images hold out three and 25 hold out two; the last in rank is on the bus's list for the test."""
    images = numbered(0, 26).split()
    last = ranked(images, 0)[-1]
    spec = make_pascal3d(
        {"car": dict.fromkeys([*images, "t"], SEEN), "bus": dict.fromkeys(["b", "c", last], SEEN)},
        train={"car": " ".join(images), "bus": "b c"},
        val={"car": "t", "bus": last},
    )
    car, both = assert_apart(spec.replace("car,bus", "car")), assert_apart(spec)
    assert len(car["val"]) == 3
    assert both["val"] - {"b", "c"} == car["val"]
    assert last in both["test"]


def test_a_single_training_image_is_trained_on(make_pascal3d: Make) -> None:
    spec = make_pascal3d({"car": {"a": SEEN, "t": SEEN}}, train={"car": "a"}, val={"car": "t"})
    assert names(spec) == {"train": {"a"}, "val": set(), "test": {"t"}}
    with pytest.raises(NoObjects, match="no labelled object in its val split: add annotated images"):
        load_dataset(spec, "val")


def test_a_category_that_is_never_seen_so_is_one_sentence_and_no_matter_to_the_others(
    make_pascal3d: Make, make_image: Make, tmp_path: Path
) -> None:
    bottles, cars = {"a": SEEN, "b": SEEN}, {"a": SEEN, "b": UNSEEN}
    listed = {"bottle": "b", "car": "b"}
    spec = make_pascal3d({"bottle": bottles, "car": cars}, train={"bottle": "a", "car": "a"}, val=listed)
    for name in ("bottle_pascal/b", "car_pascal/b"):
        make_image(tmp_path / f"Images/{name}.png").rename(tmp_path / f"Images/{name}.JPEG")
    one = spec.replace("bottle,car", "bottle") + "&azimuth=unseen"
    with pytest.raises(
        NoObjects, match=r"no labelled object in its test split \(1 of the seen azimuths were"
    ):
        load_dataset(one, "test")
    both = load_dataset(spec + "&azimuth=unseen", "test")
    assert [sample.meta["category"] for sample in both.samples] == ["car"]
    assert len(both.keypoints.names) == 7 + 12
    report, _ = check_dataset(spec + "&azimuth=unseen", ["test"])
    assert report.usable


def test_mpii_divides_images_whoever_is_asked_for(make_mpii: Make, mpii_person: Make) -> None:
    people = [mpii_person(), mpii_person()]
    alone = np.empty((40, 1), object)
    alone[:, 0] = [np.array([[1.0]]) if n % 4 == 0 else np.zeros((0, 0)) for n in range(40)]
    spec = f"mpii:{make_mpii(*([people] * 40), single_person=alone)}"
    whole = assert_apart(spec)
    assert {split: len(images) for split, images in whole.items()}["test"] == 4
    part = names(spec + "?persons=separated")
    assert part["val"]
    assert all(part[split] <= whole[split] for split in SPLITS)
    few = load_dataset(spec + "?persons=separated", "train")
    every = load_dataset(spec, "train")
    assert few.left_out == {"too near to others": len(every.samples) - len(few.samples)}


def test_five_persons_are_enough_for_three_splits(make_mpii: Make, mpii_person: Make) -> None:
    assert_apart(f"mpii:{make_mpii(*([mpii_person()] for _ in range(5)))}")


def test_lsp_and_coco_and_objectnet3d(make_lsp: Make, make_coco: Make) -> None:
    joints = np.full((3, 14, 40), 7.0)
    joints[2] = 0
    assert_apart(f"lsp:{make_lsp(joints, 40)}")
    assert_apart(f"coco:{make_coco(10)}")


def test_coco_with_files_of_its_own(make_coco: Make, tmp_path: Path) -> None:
    main, other = make_coco(20), make_coco(3, name="other.json", write_images=False)
    other.write_text(other.read_text().replace('"file_name": "', '"file_name": "other_'))
    assert_apart(f"coco:{main}?test={other}")
    assert_apart(f"coco:{other}?train={main}")
    assert_apart(f"coco:{main}?val={other}", ("train", "val"))
    with pytest.raises(NoSuchSplit, match="no file of test images"):
        load_dataset(f"coco:{main}?val={other}", "test")


@pytest.mark.parametrize("query", ["train=a.json", "train=a.json&val=b.json", "train=b.json&val=a.json"])
def test_coco_does_not_test_on_the_file_for_training_or_validation(
    make_coco: Make, tmp_path: Path, query: str
) -> None:
    for name in ("a.json", "b.json"):
        make_coco(5, name=name)
    spec = f"coco:{tmp_path}/sub/../a.json?" + query.replace("=", f"={tmp_path}/")
    (tmp_path / "sub").mkdir()
    assert load_dataset(spec, "train").samples
    with pytest.raises(NoSuchSplit, match="no file of test images"):
        load_dataset(spec, "test")


@pytest.mark.parametrize(
    "query", ["val=a.json", "test=a.json", "train=b.json&test=b.json", "val=b.json&test=b.json"]
)
def test_coco_takes_no_file_for_two_splits(make_coco: Make, tmp_path: Path, query: str) -> None:
    for name in ("a.json", "b.json"):
        make_coco(5, name=name)
    for split in SPLITS:
        with pytest.raises(DataError, match="one file to two splits"):
            load_dataset(f"coco:{tmp_path}/a.json?" + query.replace("=", f"={tmp_path}/"), split)


def test_objectnet3d_without_a_test_list_has_no_test_split(make_objectnet3d: Make, thing: Make) -> None:
    lid = {"lid": (3, 4, 1)}
    records = {name: [thing("pot", lid)] for name in "abc"}
    spec = make_objectnet3d("pot", records, train="a", val="b")
    assert_apart(spec, ("train", "val"))
    with pytest.raises(NoSuchSplit, match="--split val"):
        load_dataset(spec, "test")
    make_objectnet3d("pot", records, test="c")
    assert_apart(spec)


def test_the_check_tells_what_validation_shares_with_the_test(make_coco: Make, tmp_path: Path) -> None:
    spec = f"coco:{make_coco(10)}"
    assert check_dataset(spec, SPLITS)[0].in_val_and_test == []
    val, test = (sorted(names(spec)[split]) for split in ("val", "test"))
    (tmp_path / f"{test[0]}.png").write_bytes((tmp_path / f"{val[0]}.png").read_bytes())
    assert check_dataset(spec, SPLITS)[0].in_val_and_test == [str(tmp_path / f"{test[0]}.png")]


@pytest.mark.data
@pytest.mark.parametrize("half", ["", "&azimuth=seen", "&azimuth=unseen"])
@pytest.mark.parametrize("category", [*ANCHORS, "all"])
def test_real_pascal3d(data_root: Path, category: str, half: str) -> None:
    spec = f"pascal3d:{data_root}/PASCAL3D+_release1.1?category={category}{half}"
    if (category, half) == ("bottle", "&azimuth=unseen"):
        with pytest.raises(DataError, match="no labelled object in its test split"):
            load_dataset(spec, "test")
        return
    assert_apart(spec)


@pytest.mark.data
def test_real_lsp_and_mpii(data_root: Path) -> None:
    assert {s: len(n) for s, n in assert_apart(f"lsp:{data_root}/lsp").items()} == {
        "train": 900,
        "val": 100,
        "test": 1000,
    }
    folder = data_root / "mpii"
    five = f"mpii:{folder}/test_mpii.json?heads={folder}/valid.h5"
    assert {s: len(n) for s, n in assert_apart(five).items()} == {"train": 3, "val": 1, "test": 1}
    assert_apart(f"mpii:{folder}/valid.h5")
    digests = {
        split: {read_image(s.image).tobytes() for s in load_dataset(five, split).samples} for split in SPLITS
    }
    assert not digests["train"] & digests["val"]

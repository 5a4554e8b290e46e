"""The records are written as the release has them: a struct `record` with a struct array `objects`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from coke_edge.errors import DataError
from coke_edge.train.data import load_dataset
from coke_edge.train.data.pascal3d_anchors import ANCHORS, LINES, keypoints_of
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE, KeypointDataset

EMPTY = np.zeros((0, 0))
CAR = ANCHORS["car"].split()


def struct_array(items: list[dict[str, Any]]) -> np.ndarray:
    """MATLAB's 1×k struct array."""
    array = np.empty((1, len(items)), dtype=[(name, object) for name in items[0]])
    for i, item in enumerate(items):
        array[0, i] = tuple(item.values())
    return array


def an_object(category: str = "car", **changes: Any) -> dict[str, Any]:
    """An object whose first anchor is visible at (11, 21); the others are self-occluded, without place."""
    anchors: dict[str, Any] = {name: {"location": EMPTY, "status": 2.0} for name in ANCHORS[category].split()}
    anchors[next(iter(anchors))] = {"location": np.array([[11.0, 21.0]]), "status": 1.0}
    thing = {
        "class": category,
        "view": "",
        "truncated": 0.0,
        "occluded": 0.0,
        "difficult": 0.0,
        "bbox": np.array([[5.0, 6.0, 30.0, 25.0]]),
        "anchors": anchors,
        "viewpoint": {
            "azimuth_coarse": 90.0,
            "elevation_coarse": 10.0,
            "azimuth": 92.5,
            "elevation": 8.0,
            "distance": 4.0,
            "theta": -3.0,
            "num_anchor": 6.0,
            "viewport": 3000.0,
        },
        "cad_index": 1.0,
    }
    return {**thing, **changes}


def with_anchor(location: Any, status: Any) -> dict[str, Any]:
    """A car whose second anchor is as given."""
    thing = an_object()
    thing["anchors"][CAR[1]] = {"location": location, "status": status}
    return thing


Make = Callable[..., str]


@pytest.fixture
def release(tmp_path: Path, make_image: Callable[..., Path]) -> Make:
    """Writes a release with one car record and returns its specification."""

    def make(*objects: Any, source: str = "pascal", name: str = "2008_000001", split: str = "train") -> str:
        folder = f"car_{source}"
        annotations = tmp_path / "Annotations" / folder
        annotations.mkdir(parents=True, exist_ok=True)
        things: Any = struct_array(list(objects)) if len(objects) != 1 else objects[0]
        record = {"filename": f"{name}.jpg", "imgsize": np.array([[40, 30, 3]]), "objects": things}
        savemat(annotations / f"{name}.mat", {"record": record})
        make_image(tmp_path / "Images" / folder / f"{name}.jpg")
        lists = tmp_path / "Image_sets"
        lists.mkdir(exist_ok=True)
        for part in ("train", "val"):
            with (lists / f"{folder}_{part}.txt").open("a") as file:
                file.write(f"{name}\n" if part == split else "")
        return f"pascal3d:{tmp_path}?category=car"

    return make


def only(dataset: KeypointDataset) -> Any:
    assert len(dataset.samples) == 1
    return dataset.samples[0]


def test_coordinates_count_from_zero_and_boxes_hold_their_last_pixel(release: Make) -> None:
    sample = only(load_dataset(release(an_object()), "train"))
    np.testing.assert_array_equal(sample.keypoints[0], (10, 20))
    np.testing.assert_array_equal(sample.box, (3.5, 4.5, 29.5, 24.5))
    assert sample.visibility.tolist() == [VISIBLE] + [UNLABELLED] * 11
    assert np.isnan(sample.keypoints[1:]).all()


@pytest.mark.parametrize(
    ("location", "status", "visibility"),
    [
        ([[3.0, 4.0]], 1.0, VISIBLE),
        (np.array([[3, 4]], np.uint16), np.uint8(1), VISIBLE),
        ([[3.0, 4.0]], 2.0, HIDDEN),
        ([[3.0, 4.0]], 4.0, HIDDEN),
        ([[3.0, 4.0]], EMPTY, HIDDEN),
        (EMPTY, 1.0, UNLABELLED),
        (EMPTY, 2.0, UNLABELLED),
        ([[np.nan, 4.0]], 1.0, UNLABELLED),
    ],
)
def test_status_and_location(release: Make, location: Any, status: Any, visibility: int) -> None:
    dataset = load_dataset(release(with_anchor(location, status)), "train")
    sample = only(dataset)
    assert sample.visibility[1] == visibility
    assert dataset.marks_hidden == (visibility == HIDDEN)
    if visibility != UNLABELLED:
        np.testing.assert_array_equal(sample.keypoints[1], (2, 3))


def test_several_classes_in_one_file(release: Make) -> None:
    bus = an_object("bus")
    dataset = load_dataset(release(an_object(), bus, an_object(bbox=np.array([[1.0, 2, 3, 4]]))), "train")
    assert [s.key for s in dataset.samples] == ["car_pascal/2008_000001#0", "car_pascal/2008_000001#2"]
    np.testing.assert_array_equal(dataset.samples[1].box, (-0.5, 0.5, 2.5, 3.5))


@pytest.mark.parametrize("anchors", [EMPTY, {}])
def test_an_object_without_anchors_is_left_out(release: Make, anchors: Any) -> None:
    assert only(load_dataset(release(an_object(anchors=anchors), an_object()), "train")).key.endswith("#1")


def test_an_unknown_anchor_is_passed_over(release: Make) -> None:
    thing = an_object()
    thing["anchors"]["antenna"] = {"location": np.array([[1.0, 1.0]]), "status": 1.0}
    assert len(only(load_dataset(release(thing), "train")).keypoints) == 12


def test_without_a_box_the_keypoints_give_one(release: Make) -> None:
    sample = only(load_dataset(release(an_object(bbox=EMPTY)), "train"))
    np.testing.assert_array_equal(sample.box, (9.5, 19.5, 10.5, 20.5))


def view(**changes: Any) -> dict[str, Any]:
    return an_object(viewpoint={**an_object()["viewpoint"], **changes})


@pytest.mark.parametrize(
    ("thing", "meta"),
    [
        (an_object(), ("fine", 92.5, 8.0, -3.0)),
        (view(azimuth=EMPTY), ("coarse", 90.0, 10.0, None)),
        (view(num_anchor=EMPTY), ("fine", 92.5, 8.0, -3.0)),
        (view(num_anchor=1.0), ("none", None, None, None)),
        (view(num_anchor=0.0, azimuth_coarse=EMPTY, elevation_coarse=EMPTY), ("none", None, None, None)),
        (an_object(viewpoint=EMPTY), ("none", None, None, None)),
    ],
)
def test_viewpoints(release: Make, thing: dict[str, Any], meta: tuple[Any, ...]) -> None:
    found = only(load_dataset(release(thing), "train")).meta
    assert (found["viewpoint"], found["azimuth"], found["elevation"], found["theta"]) == meta


@pytest.mark.parametrize("mark", ["truncated", "occluded", "difficult"])
def test_marked_objects_can_be_left_out(release: Make, mark: str) -> None:
    spec = release(an_object(**{mark: 1.0}), an_object())
    assert [s.meta[mark] for s in load_dataset(spec, "train").samples] == [True, False]
    assert only(load_dataset(f"{spec}&{mark}=false", "train")).meta[mark] is False


def test_both_sources_are_joined(release: Make) -> None:
    release(an_object())
    spec = release(an_object(), source="imagenet", name="n0001")
    assert [s.meta["source"] for s in load_dataset(spec, "train").samples] == ["pascal", "imagenet"]
    assert only(load_dataset(f"{spec}&source=imagenet", "train")).image.parent.name == "car_imagenet"


def test_the_published_validation_list_is_the_test(release: Make) -> None:
    release(an_object())
    spec = release(an_object(), name="2008_000002", split="val")
    assert only(load_dataset(spec, "test")).key == "car_pascal/2008_000002#0"


def test_voc_lists_stand_in_for_missing_ones(release: Make, tmp_path: Path) -> None:
    spec = release(an_object())
    for path in (tmp_path / "Image_sets").iterdir():
        path.unlink()
    voc = tmp_path / "PASCAL/VOCdevkit/VOC2012/ImageSets/Main"
    voc.mkdir(parents=True)
    # An image without the class, one that PASCAL3D+ left out, and ours.
    (voc / "car_train.txt").write_text("2008_000003 -1\n2008_000004  1\n2008_000001  0\n")
    assert only(load_dataset(spec, "train")).key == "car_pascal/2008_000001#0"


def test_a_listed_record_that_is_missing_is_named(release: Make, tmp_path: Path) -> None:
    spec = release(an_object())
    (tmp_path / "Annotations/car_pascal/2008_000001.mat").unlink()
    with pytest.raises(DataError, match=r"2008_000001\.mat does not exist"):
        load_dataset(spec, "train")


def test_the_category_must_be_known(tmp_path: Path) -> None:
    for query in ("", "?category=cat"):
        with pytest.raises(DataError, match="aeroplane, bicycle"):
            load_dataset(f"pascal3d:{tmp_path}{query}", "train")


def test_a_folder_without_lists_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image list for car"):
        load_dataset(f"pascal3d:{tmp_path}?category=car", "train")


COUNTS = {
    "aeroplane": 8, "bicycle": 11, "boat": 7, "bottle": 7, "bus": 12, "car": 12,
    "chair": 10, "diningtable": 12, "motorbike": 10, "sofa": 10, "train": 17, "tvmonitor": 8,
}  # fmt: skip


@pytest.mark.parametrize("category", COUNTS)
def test_anchor_tables(category: str) -> None:
    keypoints = keypoints_of(category)
    assert len(set(keypoints.names)) == COUNTS[category]
    assert {k for edge in keypoints.skeleton for k in edge} == set(range(COUNTS[category]))
    sided = sum("left" in name or "right" in name for name in keypoints.names)
    assert 2 * len(keypoints.flip_pairs) == sided


def test_every_category_has_lines() -> None:
    assert LINES.keys() == ANCHORS.keys() == COUNTS.keys()


@pytest.mark.data
@pytest.mark.parametrize("category", COUNTS)
def test_the_real_records(data_root: Path, category: str) -> None:
    import scipy.io

    root = data_root / "PASCAL3D+_release1.1"
    for split in ("train", "val", "test"):
        dataset = load_dataset(f"pascal3d:{root}?category={category}", split)
        for sample in dataset.samples:
            points = sample.keypoints[sample.visibility == VISIBLE]
            assert (points >= sample.box[:2] - 60).all()
            assert (points <= sample.box[2:] + 60).all()
    path = next((root / "Annotations" / f"{category}_pascal").glob("*.mat"))
    record = scipy.io.loadmat(path, struct_as_record=False, squeeze_me=True)["record"]
    anchors = [
        o.anchors._fieldnames for o in np.atleast_1d(record.objects) if getattr(o, "class") == category
    ]
    assert tuple(anchors[0]) == dataset.keypoints.names

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.manifest import Keypoints2D
from coke_edge.train.data import load_dataset
from coke_edge.train.data.joint import chosen_categories, join
from coke_edge.train.data.sample import UNLABELLED, VISIBLE

CUP = Keypoints2D(("left", "right"), ((0, 1),), ((0, 1),))
POT = Keypoints2D(("lid", "left_ear", "right_ear"), ((0, 1), (0, 2)), ((1, 2),))


def test_names_lines_and_pairs_are_joined() -> None:
    layout = join({"cup": CUP, "pot": POT})
    assert layout.keypoints == Keypoints2D(
        ("cup/left", "cup/right", "pot/lid", "pot/left_ear", "pot/right_ear"),
        ((0, 1), (2, 3), (2, 4)),
        ((0, 1), (3, 4)),
    )


def test_a_sample_labels_its_own_category_alone() -> None:
    layout = join({"cup": CUP, "pot": POT})
    points, visibility = layout.place("pot", np.ones((3, 2), np.float32), np.full(3, VISIBLE, np.uint8))
    assert visibility.tolist() == [UNLABELLED] * 2 + [VISIBLE] * 3
    assert np.isnan(points[:2]).all()
    assert (points[2:] == 1).all()


def test_one_category_keeps_its_names() -> None:
    assert join({"cup": CUP}).keypoints == CUP


def test_the_order_of_writing_does_not_matter() -> None:
    known = ("cup", "pan", "pot")
    assert (
        chosen_categories("pot,cup", known, "x:y")
        == chosen_categories("cup, pot", known, "x:y")
        == ("cup", "pot")
    )
    assert chosen_categories("all", known, "x:y") == known


@pytest.mark.parametrize(
    ("text", "message"), [("", "no category is given"), ("cup,cap", "'cap' is no category")]
)
def test_an_unknown_category_is_named(text: str, message: str) -> None:
    with pytest.raises(DataError, match=f"x:y: {message}.* of cup, pan, pot"):
        chosen_categories(text, ("cup", "pan", "pot"), "x:y")


def test_two_categories_of_one_image(make_objectnet3d: Any, thing: Any) -> None:
    objects = [thing("pot", {"lid": (3, 4, 1)}), thing("cup", {"rim": (7, 8, 1)})]
    dataset = load_dataset(make_objectnet3d("pot,cup", {"a": objects}, train="a"), "train")
    assert dataset.keypoints.names == ("cup/rim", "pot/lid")
    assert [(s.key, s.meta["category"], s.visibility.tolist()) for s in dataset.samples] == [
        ("a#1", "cup", [VISIBLE, UNLABELLED]),
        ("a#0", "pot", [UNLABELLED, VISIBLE]),
    ]


@pytest.mark.data
def test_all_twelve_categories_of_the_real_records(data_root: Any) -> None:
    root = data_root / "PASCAL3D+_release1.1"
    joint = load_dataset(f"pascal3d:{root}?category=all", "test")
    assert len(joint.keypoints.names) == len(set(joint.keypoints.names)) == 124
    car = load_dataset(f"pascal3d:{root}?category=car", "test")
    first = joint.keypoints.names.index("car/left_front_wheel")
    theirs = [s for s in joint.samples if s.meta["category"] == "car"]
    for one, other in zip(car.samples, theirs, strict=True):
        assert one.key == other.key
        np.testing.assert_array_equal(one.keypoints, other.keypoints[first : first + 12])
        assert (other.visibility != UNLABELLED).sum() == (one.visibility != UNLABELLED).sum()
    a, b = joint.keypoints.flip_pairs[0]
    assert {joint.keypoints.names[a].split("/")[0], joint.keypoints.names[b].split("/")[0]} == {"aeroplane"}
    halves = [
        load_dataset(f"pascal3d:{root}?category=all&azimuth={half}", "test") for half in ("seen", "unseen")
    ]
    nowhere = halves[0].left_out["without a viewpoint"]
    assert sum(len(half.samples) for half in halves) + nowhere == len(joint.samples)

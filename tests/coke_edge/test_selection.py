from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from coke_edge.bundle import Bundle
from coke_edge.detector import Detector
from coke_edge.errors import BackendError
from coke_edge.kernels.reference import Peaks
from coke_edge.manifest import Keypoints2D, VisibilitySpec
from coke_edge.selection import choose, maps_of, narrowed, of_maps

JOINT = Keypoints2D(
    ("bus/door", "car/left_door", "car/right_door", "car/roof"), ((0, 1), (1, 3), (3, 2)), ((1, 2),)
)


def test_a_prefix_chooses_and_none_chooses_all() -> None:
    assert choose(JOINT, "car/").tolist() == [1, 2, 3]
    assert choose(JOINT, "").tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("beginnings", "chosen"),
    [("bus/,car/roof", [0, 3]), ("car/roof, car/", [1, 2, 3]), ("car/left_door", [1])],
)
def test_several_beginnings_choose_in_the_models_order(beginnings: str, chosen: list[int]) -> None:
    assert choose(JOINT, beginnings).tolist() == chosen


@pytest.mark.parametrize(
    ("beginnings", "sentence"),
    [
        ("boat/", "begins with 'boat/', choose among bus/, car/"),
        ("cat/", "begins with 'cat/', perhaps car/ is meant; choose among bus/, car/"),
        (
            "car/,left_door",
            "begins with 'left_door', perhaps car/left_door is meant; choose among bus/, car/",
        ),
        ("car/,", "begins with '', choose among bus/, car/"),
    ],
)
def test_what_begins_no_name_is_told_what_is_near(beginnings: str, sentence: str) -> None:
    with pytest.raises(BackendError, match=f"{sentence}$"):
        choose(JOINT, beginnings)


def test_a_long_list_of_what_there_is_is_cut() -> None:
    layout = Keypoints2D(tuple(f"{letter}{letter}{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"))
    with pytest.raises(BackendError, match=r"choose among aaa, .*, ttt, …$"):
        choose(layout, "0")


@pytest.fixture(scope="module")
def joint(bundle_path: Path) -> Bundle:
    """The bundle of three blobs, whose keypoints are of two categories."""
    bundle = Bundle(bundle_path)
    layout = Keypoints2D(("a/blue", "b/green", "a/red"), ((0, 1), (0, 2)), ((0, 2),))
    model = msgspec.structs.replace(
        bundle.manifest.model, keypoints=layout, visibility=VisibilitySpec(2.0, -2.0, 0.0, (1.0, 2.0, 3.0))
    )
    bundle.manifest = msgspec.structs.replace(bundle.manifest, model=model)
    return bundle


def test_the_specification_holds_the_chosen_alone(joint: Bundle) -> None:
    spec = narrowed(joint.manifest.model, choose(joint.manifest.model.keypoints, "a/"))
    assert spec.keypoints == Keypoints2D(("a/blue", "a/red"), ((0, 1),), ((0, 1),))
    assert spec.visibility is not None
    assert spec.visibility.bias == (1.0, 3.0)


def test_a_detector_reports_the_chosen_as_it_does_among_all(joint: Bundle, paint) -> None:
    frame = paint(200, 160, {0: (45.0, 60.0), 1: (150.0, 70.0), 2: (100.0, 120.0)})
    every, some = Detector(joint, threads=1)(frame), Detector(joint, threads=1, keypoints="a/")
    for found in (some(frame), some.batch(frame, [None, None])[1], some.stages(frame, [None])[0][0]):
        assert found.names == some.spec.keypoints.names == ("a/blue", "a/red")
        for quantity in ("xy", "similarity", "clutter", "soft_clutter", "visible"):
            np.testing.assert_array_equal(getattr(found, quantity), getattr(every, quantity)[[0, 2]])


def test_the_map_of_a_hidden_keypoint_goes_with_it(joint: Bundle) -> None:
    spec, chosen = joint.manifest.model, choose(joint.manifest.model.keypoints, "a/")
    assert maps_of(spec, chosen).tolist() == [0, 2]
    placing = msgspec.structs.replace(spec, hidden_maps=True)
    assert maps_of(placing, chosen).tolist() == [0, 2, 3, 5]
    index = np.arange(6, dtype=np.int32).reshape(1, 6, 1)
    values = np.zeros((1, 6, 1), np.float32)
    peaks = of_maps(Peaks(index, values, values, values, np.zeros((1, 6, 1, 3, 3))), maps_of(placing, chosen))
    assert peaks.index.ravel().tolist() == [0, 2, 3, 5]
    assert peaks.neighbourhood.shape == (1, 4, 1, 3, 3)


def test_an_unknown_category_is_refused_before_anything_is_loaded(joint: Bundle) -> None:
    with pytest.raises(BackendError, match="choose among a/, b/"):
        Detector(joint, backend="nothing", keypoints="c/")

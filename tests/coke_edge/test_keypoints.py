from __future__ import annotations

import json

import numpy as np
import pytest

from coke_edge.draw import draw
from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D


@pytest.fixture
def keypoints() -> Keypoints:
    nan = np.nan
    return Keypoints(
        layout=Keypoints2D(("a", "b", "c", "d")),
        xy=np.array([[1.5, 2.5], [nan, nan], [3.0, 4.0], [5.0, 6.0]]),
        similarity=np.array([0.9, nan, 0.5, 0.7]),
        clutter=np.array([0.1, nan, 0.2, 0.3]),
        soft_clutter=np.array([0.0, nan, 0.1, 0.2]),
        visible=np.array([0.9, 0.0, 0.2, nan]),
        box=np.array([1.0, 2.0, 11.0, 22.0]),
    )


def test_to_dict_is_json_without_nan(keypoints: Keypoints) -> None:
    again = json.loads(json.dumps(keypoints.to_dict(), allow_nan=False))
    assert again["box"] == [1, 2, 11, 22]
    assert again["keypoints"][0] == {
        "name": "a", "x": 1.5, "y": 2.5,
        "similarity": 0.9, "clutter": 0.1, "soft_clutter": 0.0, "visible": 0.9,
    }  # fmt: skip
    assert again["keypoints"][1]["x"] is None
    assert again["keypoints"][3]["visible"] is None


def test_to_coco(keypoints: Keypoints) -> None:
    coco = keypoints.to_coco()
    assert coco["keypoints"] == [1.5, 2.5, 2, 0, 0, 0, 3, 4, 1, 5, 6, 2]
    assert coco["num_keypoints"] == 3
    assert coco["bbox"] == [1.5, 2.5, 10, 20]
    assert coco["score"] == pytest.approx(0.7)


def test_names_and_length(keypoints: Keypoints) -> None:
    assert keypoints.names == ("a", "b", "c", "d")
    assert len(keypoints) == 4
    assert keypoints.hidden.tolist() == [False, True, True, False]


def test_draw(keypoints: Keypoints) -> None:
    frame = np.full((40, 40, 3), 128, np.uint8)
    assert np.array_equal(keypoints.draw(frame), draw(frame, keypoints))
    assert np.array_equal(keypoints.draw(frame, names=True, box=True), draw(frame, keypoints, True, True))

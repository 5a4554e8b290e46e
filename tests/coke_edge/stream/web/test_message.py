from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from coke_edge.stream.web.message import describe, jpeg, rows


def test_a_row_for_each_keypoint(make_result) -> None:
    told = describe(make_result(3), 9)
    assert (told["sequence"], told["index"], told["width"], told["height"], told["dropped"]) == (
        9,
        3,
        160,
        120,
        6,
    )
    assert told["latency"] == 12
    assert 40 <= told["age"] < 5000
    eye, other, nose = told["objects"][0]
    assert eye == {
        "name": "left_eye",
        "x": 13.0,
        "y": 20.0,
        "similarity": 0.75,
        "clutter": 0.5,
        "visible": 0.9,
        "hidden": False,
        "side": "left",
    }
    assert (other["hidden"], other["side"]) == (True, "right")
    assert (nose["x"], nose["similarity"], nose["side"]) == (None, None, "middle")


def test_a_hidden_keypoint_stands_where_the_picture_has_it(make_result) -> None:
    (seen,) = make_result(3).objects
    placed = dataclasses.replace(seen, hidden_xy=seen.xy + 5.0, visible=np.array([0.9, 0.1, 0.0]))
    eye, other, _ = rows(placed)
    assert (eye["x"], eye["y"]) == tuple(seen.xy[0])
    assert (other["x"], other["y"]) == tuple(seen.xy[1] + 5.0)
    assert (eye["similarity"], eye["clutter"]) == (seen.similarity[0], seen.clutter[0])
    assert other["similarity"] is None is other["clutter"]  # they belong to the other place


def test_large_pictures_are_made_smaller_and_small_ones_left() -> None:
    for size, sent in (((1080, 1920), (720, 1280)), ((3000, 10), (1280, 4)), ((48, 64), (48, 64))):
        picture = cv2.imdecode(np.frombuffer(jpeg(np.full((*size, 3), 90, np.uint8)), np.uint8), 1)
        assert picture.shape == (*sent, 3)
        assert abs(int(picture.mean()) - 90) <= 1

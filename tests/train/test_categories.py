"""Evaluation of several categories, and of a model that knows several on a data set of one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.manifest import Keypoints2D
from coke_edge.train.data.joint import join
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE, KeypointDataset, Sample
from coke_edge.train.evaluate import Predictions, matching, score

CUP, POT = Keypoints2D(("rim", "foot")), Keypoints2D(("lid", "spout", "ear"))
JOINT = join({"cup": CUP, "pot": POT})
BOX = np.array([0, 0, 100, 100], np.float32)


def sample(category: str, *flags: int) -> Sample:
    points = np.zeros((len(flags), 2), np.float32)
    points, visibility = JOINT.place(category, points, np.array(flags, np.uint8))
    points[visibility == UNLABELLED] = np.nan
    return Sample(Path("1.png"), points, visibility, BOX, category, {"category": category})


def dataset(*samples: Sample) -> KeypointDataset:
    return KeypointDataset("pots", "test", JOINT.keypoints, samples, "box", True, left_out={"unseen": 3})


def test_the_mean_is_over_keypoints_and_then_over_categories() -> None:
    cups = [sample("cup", VISIBLE, VISIBLE)] * 3 + [sample("cup", VISIBLE, UNLABELLED)]
    pot = sample("pot", VISIBLE, VISIBLE, HIDDEN)
    data = dataset(*cups, pot)
    xy = np.zeros((5, 5, 2))
    xy[:, 0] = 1000.0  # every rim is missed, all else is found
    result = score(
        Predictions(data.samples, JOINT.keypoints.names, xy, np.full((5, 5), np.nan), np.ones(5), xy),
        data,
        [0.1],
    )
    assert result.per_category == {
        "cup": {
            "pck": {"0.1": pytest.approx(300 / 7)},
            "keypoint_mean": {"0.1": 50.0},
            "objects": 4,
            "keypoints": 7,
        },
        "pot": {"pck": {"0.1": 100.0}, "keypoint_mean": {"0.1": 100.0}, "objects": 1, "keypoints": 2},
    }
    assert result.keypoint_mean == {"0.1": 75.0}
    assert result.pck["0.1"] == pytest.approx(500 / 9)
    assert result.to_json()["left_out"] == {"unseen": 3}


def test_a_category_that_counts_nothing_does_not_spoil_the_mean() -> None:
    data = dataset(sample("cup", VISIBLE, VISIBLE), sample("pot", HIDDEN, HIDDEN, HIDDEN))
    nothing = np.full((2, 5), np.nan)
    result = score(
        Predictions(
            data.samples, JOINT.keypoints.names, np.zeros((2, 5, 2)), nothing, np.ones(2), np.zeros((2, 5, 2))
        ),
        data,
        [0.1],
    )
    assert result.keypoint_mean == {"0.1": 100.0}
    assert result.to_json()["per_category"]["pot"]["keypoint_mean"] == {"0.1": None}


def one_category(layout: Keypoints2D, category: str = "pot") -> KeypointDataset:
    count = len(layout.names)
    one = Sample(Path("1.png"), np.zeros((count, 2), np.float32), np.full(count, VISIBLE, np.uint8), BOX, "1",
                 {"category": category})  # fmt: skip
    return dataclasses.replace(dataset(one), keypoints=layout)


def test_a_joint_model_is_measured_on_the_keypoints_of_the_data_set() -> None:
    three = join({"pan": Keypoints2D(("grip",)), "cup": CUP, "pot": POT}).keypoints
    assert matching(JOINT.keypoints, one_category(POT)).tolist() == [2, 3, 4]
    assert matching(three, dataset(sample("cup", 2, 2), sample("pot", 2, 2, 2))).tolist() == [1, 2, 3, 4, 5]
    assert matching(POT, one_category(POT)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (JOINT.keypoints, one_category(POT, category="pan"), "5 keypoints"),
        (JOINT.keypoints, one_category(Keypoints2D(("lid", "knob"))), "5 keypoints"),
        (
            Keypoints2D(("lid", "ear", "spout")),
            one_category(POT),
            "keypoint 1 is ear in the model, but spout",
        ),
        (Keypoints2D((*POT.names, "knob")), one_category(POT), "4 keypoints"),
        (POT, dataset(sample("pot", 2, 2, 2)), "3 keypoints"),
    ],
)
def test_other_keypoints_are_refused(model: Keypoints2D, data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        matching(model, data)

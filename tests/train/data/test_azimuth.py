from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.train.data import load_dataset
from coke_edge.train.data.azimuth import half_of_azimuth, viewpoint_of

SEEN = [0, 44.9, 135, 179.9, 180, 224.9, 315, 359.9, 360, -2, -45, 720.5, -1e-20]
UNSEEN = [45, 89.9, 90, 134.9, 225, 269.9, 270, 314.9, -46, -90, 405]


@pytest.mark.parametrize(("azimuth", "half"), [(a, "seen") for a in SEEN] + [(a, "unseen") for a in UNSEEN])
def test_the_seen_half_is_bins_0_3_4_and_7(azimuth: float, half: str) -> None:
    assert half_of_azimuth(azimuth) == half


@pytest.mark.parametrize(
    ("view", "half"),
    [
        ({"azimuth": 10.0, "azimuth_coarse": 90.0, "num_anchor": 6.0}, "seen"),
        ({"azimuth": np.zeros(0), "azimuth_coarse": 90.0, "num_anchor": 6.0}, "unseen"),
        ({"azimuth_coarse": 90.0}, "unseen"),
        ({"azimuth_coarse": -2, "azimuth": np.zeros(0, np.uint8), "num_anchor": 12}, "seen"),
        ({"azimuth": 10.0, "azimuth_coarse": 10.0, "num_anchor": 1.0}, None),
        ({"azimuth": 10.0, "num_anchor": 0.0}, None),
        ({"num_anchor": 6.0}, None),
        ({"azimuth": np.nan, "num_anchor": 6.0}, None),
        (np.zeros((0, 0)), None),
        (None, None),
    ],
)
def test_missing_angles_and_poses_of_too_few_anchors(view: Any, half: str | None) -> None:
    assert viewpoint_of({"viewpoint": view}).half == half


def test_the_halves_part_the_data_set_and_count_what_they_leave_out(
    make_objectnet3d: Any, thing: Any
) -> None:
    lid = {"lid": (3, 4, 1)}
    views = [{"azimuth": 10.0}, {"azimuth": 100.0}, {"azimuth": 200.0}, {"num_anchor": 1.0}]
    spec = make_objectnet3d("pot", {"a": [thing("pot", lid, view=view) for view in views]}, train="a")
    both, seen, unseen = (
        load_dataset(spec + half, "train") for half in ("", "&azimuth=seen", "&azimuth=unseen")
    )
    assert [sample.key for sample in seen.samples] == ["a#0", "a#2"]
    assert [sample.key for sample in unseen.samples] == ["a#1"]
    assert len(both.samples) == 4
    assert both.left_out == {}
    assert seen.left_out == {"of the unseen azimuths": 1, "without a viewpoint": 1}
    assert unseen.left_out == {"of the seen azimuths": 2, "without a viewpoint": 1}
    with pytest.raises(DataError, match="wrong value"):
        load_dataset(spec + "&azimuth=half", "train")

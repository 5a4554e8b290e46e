"""What is said beside the figures."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from coke_edge.cli.eval_tables import absent_categories, covered_lines, left_out_lines


def result(keypoints: str, *categories: str, **more: Any) -> Any:
    return SimpleNamespace(
        per_keypoint=dict.fromkeys(keypoints.split()),
        per_category=dict.fromkeys(categories),
        **{"left_out": {}, "excluded": 0, "normaliser": "box", **more},
    )


@pytest.mark.parametrize(
    ("keypoints", "categories", "absent"),
    [
        ("bottle/neck car/roof car/door", ["car"], ["bottle"]),
        ("bottle/neck car/roof", ["car", "bottle"], []),
        ("neck foot", ["bottle"], []),
        ("left/eye right/eye", ["cat"], []),
        ("left/eye right/eye", [""], []),
    ],
)
def test_categories_without_an_object(keypoints: str, categories: list[str], absent: list[str]) -> None:
    assert absent_categories(result(keypoints, *categories)) == absent


def test_what_the_figures_are_not_about() -> None:
    lines = left_out_lines(
        result("bottle/neck car/roof", "car", left_out={"of the seen azimuths": 3}, excluded=1)
    )
    assert lines == [
        "3 objects left out: of the seen azimuths",
        "1 object left out: their box length is unknown",
        "No object of bottle: the mean is over the other categories",
    ]


def test_covered_keypoints_have_a_line_of_their_own() -> None:
    assert covered_lines(result("a", covered=0)) == []
    one = result("a", covered=1, covered_pck={"0.1": 12.34, "0.2": math.nan}, covered_auroc=0.9)
    assert covered_lines(one) == [
        "1 covered keypoint: PCK [%] @0.1 12.3, @0.2 –; AUROC of visible against covered 0.900"
    ]

from __future__ import annotations

from typing import Any

import pytest

from coke_edge.doctor.difference import between

COUNT = 10


def found(
    shift: float = 0.0, moved: int = 0, lost: int = 0, response: float = 0.0, visible: float | None = 0.8
) -> dict[str, Any]:
    """Ten keypoints on a line: all shifted, some moved far, some lost."""
    xy: list[list[float | None]] = [[10.0 * k + shift + (50 if k < moved else 0), 7.0] for k in range(COUNT)]
    similarity: list[float | None] = [0.5 + response] * COUNT
    for k in range(COUNT - lost, COUNT):
        xy[k], similarity[k] = [None, None], None
    return {"xy": xy, "similarity": similarity, "clutter": [0.1] * COUNT, "visible": [visible] * COUNT}


@pytest.mark.parametrize(
    ("other", "precision", "reason"),
    [
        (found(), "fp32", None),
        (found(shift=0.4, response=0.01), "fp32", None),
        (found(shift=0.6), "fp32", "10 of 10 keypoints are found elsewhere"),
        (found(shift=0.6), "fp16", None),
        (found(moved=2), "fp32", None),
        (found(moved=3), "fp32", "3 of 10 keypoints are found elsewhere"),
        (found(lost=3), "fp32", "3 of 10 keypoints are found elsewhere"),
        (found(response=0.03), "fp32", "responses differ by 0.030 (limit 0.02)"),
        (found(response=0.03), "fp16", None),
        (found(visible=0.9), "fp32", "P(visible) differs by 0.100 on average (limit 0.01)"),
        (found(visible=0.75), "int8", None),
    ],
)
def test_limits(other: dict[str, Any], precision: str, reason: str | None) -> None:
    assert between(other, found(), precision).beyond(precision) == reason


def test_figures() -> None:
    difference = between(found(shift=0.2, moved=1, lost=1, response=0.01), found(), "fp32")
    assert difference.median == pytest.approx(0.2)
    assert difference.max == pytest.approx(50.2)
    assert difference.mean == pytest.approx((8 * 0.2 + 50.2) / 9)
    assert difference.response_max == pytest.approx(0.01)
    assert (difference.elsewhere, difference.keypoints) == (2, 10)


def test_a_model_that_is_not_calibrated() -> None:
    assert between(found(visible=None), found(visible=None), "fp32").beyond("fp32") is None


def test_what_neither_finds_is_no_difference() -> None:
    difference = between(found(lost=4), found(lost=4), "fp32")
    assert (difference.elsewhere, difference.keypoints) == (0, 6)
    nothing = between(found(lost=10), found(lost=10), "fp32")
    assert nothing.beyond("fp32") == "no keypoint was found at all"

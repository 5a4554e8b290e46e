from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from coke_edge.draw import LEFT, MIDDLE, RIGHT, draw, side_colour
from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D

LAYOUT = Keypoints2D(("left_hand", "right_hand", "head"), ((0, 2), (1, 2)), ((0, 1),))
FRAME = np.full((200, 300, 3), 128, np.uint8)


def keypoints(**change: object) -> Keypoints:
    one = np.ones(3)
    xy = np.array([[230.0, 150.0], [60.0, 150.0], [150.0, 40.0]])
    return dataclasses.replace(Keypoints(LAYOUT, xy, one, one, one, one, np.zeros(4)), **change)


def distance(frame: np.ndarray, xy: tuple[int, int], colour: tuple[int, int, int]) -> float:
    """How far a pixel is from a colour."""
    return float(np.abs(frame[xy[1], xy[0]].astype(float) - colour).max())


def test_markers_have_the_colour_of_their_side() -> None:
    out = draw(FRAME, keypoints())
    assert distance(out, (230, 150), LEFT) < 3
    assert distance(out, (60, 150), RIGHT) < 3
    assert distance(out, (150, 40), MIDDLE) < 3


def test_the_frame_itself_is_left_alone() -> None:
    before = FRAME.copy()
    assert draw(FRAME, keypoints()) is not FRAME
    assert np.array_equal(FRAME, before)


def test_bones_join_their_ends_and_hidden_ones_are_fainter() -> None:
    middle = (105, 95)  # between right_hand and head
    assert distance(draw(FRAME, keypoints()), middle, RIGHT) < 3
    faint = draw(FRAME, keypoints(visible=np.array([1.0, 0.1, 1.0])))
    assert 3 < distance(faint, middle, RIGHT) < distance(FRAME, middle, RIGHT)


def test_hidden_markers_are_hollow() -> None:
    alone = dataclasses.replace(
        keypoints(visible=np.array([1.0, 0.1, 1.0])), layout=Keypoints2D(LAYOUT.names)
    )
    out = draw(FRAME, alone)
    assert distance(out, (60, 150), (128, 128, 128)) == 0
    assert (out[140:160, 50:70] != 128).any()


def test_what_is_most_likely_hidden_is_drawn_where_it_is_if_hidden() -> None:
    elsewhere = np.array([[20.0, 20.0], [60.0, 60.0], [20.0, 180.0]])
    out = draw(FRAME, keypoints(visible=np.array([1.0, 0.1, 0.4]), hidden_xy=elsewhere))
    changed = (out != FRAME).any(-1)
    assert changed[50:70, 50:70].any()  # right_hand: hidden
    assert not changed[140:160, 50:70].any()
    assert distance(out, (230, 150), LEFT) < 3  # left_hand: visible
    assert changed[30:50, 140:160].any()  # head: hidden, but not so sure
    assert not changed[170:190, 10:30].any()


def test_missing_keypoints_are_left_out() -> None:
    missing = keypoints(xy=np.full((3, 2), np.nan))
    assert np.array_equal(draw(FRAME, missing, names=True), FRAME)


@pytest.mark.parametrize("size", [(1, 1), (20, 30), (2000, 3000)])
def test_any_size_and_points_outside(size: tuple[int, int]) -> None:
    frame = np.zeros((*size, 3), np.uint8)
    far = keypoints(xy=np.array([[-1e9, 5.0], [1e9, -1e9], [10.0, 10.0]]))
    assert draw(frame, far, names=True).shape == frame.shape


def test_markers_grow_with_the_picture() -> None:
    def share(scale: int) -> float:
        frame = np.full((200 * scale, 300 * scale, 3), 128, np.uint8)
        return float((draw(frame, keypoints(xy=keypoints().xy * scale)) != 128).any(-1).mean())

    assert share(8) == pytest.approx(share(4), rel=0.15)


def test_names_are_written_beside_their_markers() -> None:
    changed = (draw(FRAME, keypoints()) != draw(FRAME, keypoints(), names=True)).any(-1)
    y, x = np.nonzero(changed)
    assert len(x) > 200
    assert x[(y > 140)].max() > 235  # the left hand's, to its right
    assert x[(y > 140)].min() < 55  # the right hand's, to its left


def test_sides_by_name_or_by_flip_pair() -> None:
    assert side_colour(0, Keypoints2D(("L_EyeLeft", "x"))) == LEFT
    assert side_colour(0, Keypoints2D(("rightful", "upright"))) == MIDDLE
    pairs = Keypoints2D(("a", "b", "c"), (), ((0, 1),))
    assert [side_colour(k, pairs) for k in range(3)] == [RIGHT, LEFT, MIDDLE]


def test_the_region_is_drawn_on_request() -> None:
    missing = keypoints(xy=np.full((3, 2), np.nan), box=np.array([50.0, 20.0, 250.0, 180.0]))
    assert np.array_equal(draw(FRAME, missing), FRAME)
    out = draw(FRAME, missing, box=True)
    assert distance(out, (150, 20), MIDDLE) < 30
    assert distance(out, (250, 100), MIDDLE) < 30
    assert distance(out, (150, 100), (128, 128, 128)) == 0

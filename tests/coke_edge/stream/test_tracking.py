from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from coke_edge.benchmarks.tracking import measure, scenes_of, side
from coke_edge.detector import Detector
from coke_edge.keypoints import Keypoints
from coke_edge.manifest import Keypoints2D
from coke_edge.stream.finder import intersection_over_union
from coke_edge.stream.follow import Following, hull, next_box, widened
from coke_edge.stream.frame import Frame
from coke_edge.stream.run import detect
from coke_edge.stream.sweep import Sweep, windows
from coke_edge.stream.tracking import TrackedRegion

LAYOUT = Keypoints2D(("a", "b", "c", "d"))
SQUARE = np.array([[100.0, 100.0], [200.0, 100.0], [100.0, 200.0], [200.0, 200.0]])
EXACT = Following(margin=1.0, slack=0.05)
FRAME = np.zeros((480, 640, 3), np.uint8)


def seen(xy: np.ndarray, visible: object = 1.0, similarity: float = 0.7) -> Keypoints:
    box = np.array([0.0, 0.0, 1.0, 1.0])
    p = np.broadcast_to(np.asarray(visible, dtype=float), 4)
    return Keypoints(LAYOUT, xy, np.full(4, similarity), np.zeros(4), np.zeros(4), p, box)


def box_of(tracked: TrackedRegion) -> np.ndarray:
    [box] = tracked.boxes(FRAME)
    return np.asarray(box)


def test_the_box_is_that_of_the_visible_points() -> None:
    assert next_box(seen(SQUARE), None, EXACT).tolist() == [100, 100, 200, 200]
    assert next_box(seen(SQUARE), None, Following(margin=1.2)).tolist() == [90, 90, 210, 210]
    far = SQUARE.copy()
    far[3] = 1000, 1000
    assert next_box(seen(far, [1, 1, 1, 0.2]), None, EXACT).tolist() == [100, 100, 200, 200]
    assert next_box(seen(SQUARE, [1, 0, 0, 0]), None, EXACT) is None


def test_hidden_points_keep_the_box_and_never_widen_it() -> None:
    last = np.array([100.0, 100.0, 200.0, 200.0])
    half = [1, 1, 0.2, 0.2]  # the lower two are hidden
    assert next_box(seen(SQUARE, half), last, EXACT).tolist() == last.tolist()
    low = SQUARE + np.array([[0, 0], [0, 0], [0, 500], [0, 500]])
    assert next_box(seen(low, half), last, EXACT).tolist() == last.tolist()
    assert next_box(seen(SQUARE, half), None, EXACT)[3] < 150
    up = dataclasses.replace(
        seen(low, half), hidden_xy=SQUARE * [1, 0] + [0, 120]
    )  # where they are if hidden
    assert next_box(up, last, EXACT)[3] < 150


def test_points_in_a_row_and_missing_ones() -> None:
    row = SQUARE * [1, 0]
    row[3] = np.nan
    x0, y0, x1, y1 = next_box(seen(row), None, EXACT)
    assert (x0, x1, y1 - y0) == (100, 200, 25)
    assert side(next_box(seen(SQUARE * 0), None, EXACT)) == 1


def test_small_movements_leave_the_box_alone_and_large_ones_are_followed() -> None:
    rng = np.random.default_rng(0)
    box = np.array([100.0, 100.0, 200.0, 200.0])
    for _ in range(50):
        shaken = next_box(seen(SQUARE + rng.uniform(-2, 2, (4, 2))), box, EXACT)
        assert shaken.tolist() == box.tolist()
    moved = next_box(seen(SQUARE + 20), box, EXACT)
    assert moved.tolist() == [115, 115, 215, 215]  # at most 5 % of the box behind


def test_a_search_ends_at_the_best_place_and_a_lost_object_starts_one() -> None:
    region = TrackedRegion(following=EXACT)
    empty = seen(SQUARE + 300, 0.1)
    first = len(region.boxes(FRAME))
    assert first > 1
    [(number, _)] = region.take([empty] * (first - 1) + [seen(SQUARE, 0.9)])
    assert box_of(region).tolist() == [100, 100, 200, 200]
    [(tracked, _)] = region.take([seen(SQUARE, 0.9)])
    [(again, _)] = region.take([seen(SQUARE, 0.5)]) if box_of(region) is not None else [(0, None)]
    assert tracked == again == number
    box_of(region)
    region.take([seen(SQUARE, 0.3)])
    assert len(region.boxes(FRAME)) == first


def test_a_search_looks_everywhere_before_it_takes_what_is_not_sure() -> None:
    region = TrackedRegion(following=EXACT)
    better = SQUARE + np.array([200, 100])
    frames = 0
    while len(asked := region.boxes(FRAME)) > 1:
        frames += 1
        found = [seen(SQUARE, 0.1)] * len(asked)
        found[-1] = seen(better, 0.75) if frames == 4 else seen(SQUARE, 0.65)
        if frames > 4:
            found[0] = seen(better, 0.75)  # the best so far is looked at again in every frame
        numbers = {number for number, _ in region.take(found)}
        assert len(numbers) == 1
    assert frames == math.ceil(len(windows(640, 480, 0.3)) / 6)
    assert np.asarray(asked[0]).tolist() == [300, 200, 400, 300]


def test_a_model_without_visibility_goes_by_similarity() -> None:
    region = TrackedRegion([lambda image: [None]], following=EXACT)
    for similarity, tracked in ((0.3, False), (0.6, True), (0.45, True), (0.3, False)):
        region.boxes(FRAME)
        region.take([seen(SQUARE, math.nan, similarity)] * len(region.boxes(FRAME)))
        assert (region._tracks[0]._box is not None) == tracked


def test_an_object_that_left_the_frame_is_lost_and_the_frame_may_change_its_size() -> None:
    region = TrackedRegion([lambda image: [None]], following=EXACT)
    region.boxes(FRAME)
    region.take([seen(SQUARE + 300)])
    assert box_of(region).tolist() == [400, 400, 500, 500]
    assert region.boxes(FRAME[:100, :100]) == [None]


def test_several_objects_in_one_batch() -> None:
    left, right = (0.0, 0.0, 320.0, 480.0), (320.0, 0.0, 640.0, 480.0)
    region = TrackedRegion([lambda image: [left], lambda image: [right]], following=EXACT)
    assert len(region.boxes(FRAME)) == 2
    numbers = [number for number, _ in region.take([seen(SQUARE), seen(SQUARE + np.array([300, 0]), 0.1)])]
    assert len(set(numbers)) == 2
    boxes = [np.asarray(box).tolist() for box in region.boxes(FRAME)]
    assert boxes[0] == [100, 100, 200, 200]
    assert boxes[-1] == list(right)


def test_a_finder_that_finds_nothing_gives_no_object() -> None:
    region = TrackedRegion([lambda image: []])
    assert list(region.boxes(FRAME)) == []
    assert region.take([]) == []


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (1920, 1080), (97, 31), (3000, 10)])
def test_a_sweep_sees_every_object_from_its_smallest_window_on(size: tuple[int, int]) -> None:
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    sweep = Sweep(batch=8, smallest=0.3)
    boxes = []
    while not boxes or not sweep.finished:
        boxes += sweep(image)
    assert len(boxes) == len(windows(width, height, 0.3))
    assert boxes[0].tolist() == [-0.5, -0.5, width - 0.5, height - 0.5]
    squares = np.array(boxes[1:])
    assert (squares[:, :2] >= -0.5 - 1e-9).all()
    assert (squares[:, 2:] <= np.array([width, height]) - 0.5 + 1e-9).all()
    rng = np.random.default_rng(0)
    for _ in range(50):
        wanted = min(size) * rng.uniform(0.35, 1)
        centre = rng.uniform(wanted / 2, np.array(size) - wanted / 2)
        sides = squares[:, 2] - squares[:, 0]
        off = np.abs((squares[:, :2] + squares[:, 2:]) / 2 - centre).max(axis=1) / sides
        assert ((off <= 0.2501) & (np.abs(np.log2(sides / wanted)) <= 0.5001)).any()


def test_a_moving_object_is_followed_to_within_two_pixels(bundle_path: Path, paint) -> None:
    """Three blobs swing and breathe; the region finds them, follows, and stands still when they do."""
    detector = Detector(bundle_path, threads=1)
    margin = 1.3  # this model's own is small for points that lie on the border of their box
    region = TrackedRegion(following=Following(margin=margin))
    shape = np.array([[-60.0, -20.0], [60.0, -40.0], [0.0, 50.0]])
    frames, truth = [], []
    for t in range(20):
        turn = min(t, 14) / 30  # the last frames are the same
        middle = np.array([220 + 80 * np.sin(2 * turn), 160 + 40 * np.sin(3 * turn)])
        truth.append(middle + shape * (1 + 0.1 * np.sin(5 * turn)))
        frames.append(Frame(t, paint(440, 330, dict(enumerate(truth[-1])), 14.0), f"{t}", t / 30))
    boxes, errors = [], []
    for result, xy, frame in zip(detect(detector, frames, region), truth, frames, strict=True):
        [tracked] = result.objects
        boxes.append(tracked.box)
        true = widened(hull(xy), margin)
        errors.append(np.linalg.norm(tracked.xy - detector(frame.image, true).xy, axis=1))
        if frame.index > 3:
            assert intersection_over_union(tracked.box, true) > 0.7
    assert np.median(errors[4:]) < 2
    np.testing.assert_allclose(boxes[-1], boxes[-2], atol=0.02)


@pytest.mark.data
def test_moving_pictures_of_people_are_followed(data_root: Path) -> None:
    scenes = scenes_of(f"lsp:{data_root / 'lsp'}", data_root / "backgrounds", 4)
    detector = Detector("demo", threads=1)
    score = measure(detector, scenes, Following(), speed=0.5, height=0.3, seconds=0.6)
    assert score.found == 1
    assert score.following > 0.9
    assert score.error_px <= 2.0

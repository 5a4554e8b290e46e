"""What each peer's output means, on tensors made for it, and whose joint is which."""

from __future__ import annotations

import numpy as np
import pytest

from coke_edge.benchmarks.peers import blazepose, movenet, yolo
from coke_edge.benchmarks.peers.joints import COMMON, common
from coke_edge.benchmarks.peers.skeletons import BLAZEPOSE, COCO
from coke_edge.errors import DataError

COLD = -20.0  # logit of a cell where a heatmap sees nothing


def landmarks(xy: tuple[float, float]) -> np.ndarray:
    """BlazePose's output with every landmark at one place, in px from the crop's corner."""
    output = np.zeros((1, 5 * blazepose.LANDMARKS), np.float32)
    output.reshape(blazepose.LANDMARKS, 5)[:, :2] = xy
    return output


def heatmaps(cells: dict[tuple[int, int], float]) -> np.ndarray:
    """The same heatmap for all landmarks: logits by row and column."""
    found = np.full((blazepose.CELLS, blazepose.CELLS, blazepose.LANDMARKS), COLD, np.float32)
    for cell, logit in cells.items():
        found[cell] = logit
    return found


def test_blazepose_keeps_a_regressed_landmark_where_its_heatmap_is_unsure() -> None:
    regressed = blazepose.landmarks(landmarks((100.0, 60.0)))
    assert regressed.shape == (len(BLAZEPOSE), 2)
    found = blazepose.sharpened(regressed, heatmaps({(15, 26): -0.1}))
    np.testing.assert_allclose(found, np.full((33, 2), [99.5, 59.5]), atol=1e-4)


def test_blazepose_moves_a_landmark_to_the_mean_of_the_cells_around_it() -> None:
    regressed = blazepose.landmarks(landmarks((100.0, 60.0)))  # in cell (row 15, column 25)
    found = blazepose.sharpened(regressed, heatmaps({(15, 26): 30.0, (17, 26): 30.0, (19, 25): 30.0}))
    np.testing.assert_allclose(found, np.full((33, 2), [26 * 4 - 0.5, 16 * 4 - 0.5]), atol=1e-3)


@pytest.mark.parametrize("place", [(0.0, 0.0), (255.9, 255.9)])
def test_blazepose_at_the_border_takes_no_cell_twice(place: tuple[float, float]) -> None:
    row = column = int(place[0] // 4)
    inwards = column + 1 if column == 0 else column - 1
    cells = {(row, column): 30.0, (row, inwards): 30.0}
    found = blazepose.sharpened(blazepose.landmarks(landmarks(place)), heatmaps(cells))
    np.testing.assert_allclose(found[0], [2 * (column + inwards) - 0.5, 4 * row - 0.5], atol=1e-3)


def test_blazepose_leaves_a_landmark_outside_the_crop_where_it_is() -> None:
    regressed = blazepose.landmarks(landmarks((-3.0, 300.0)))
    found = blazepose.sharpened(regressed, heatmaps({(63, 0): 30.0}))
    np.testing.assert_allclose(found[0], [-3.5, 299.5])


def test_movenet_gives_y_before_x_in_parts_of_the_input() -> None:
    output = np.zeros((1, 1, 17, 3), np.float32)
    output[0, 0, 3] = 0.25, 0.5, 0.9
    found = movenet.keypoints(output, 192)
    assert found.shape == (17, 2)
    np.testing.assert_allclose(found[3], [95.5, 47.5])


def test_yolo_takes_the_most_confident_anchor() -> None:
    output = np.zeros((1, 56, 40), np.float32)
    output[0, 4, [7, 20]] = 0.3, 0.8
    output[0, 5 + 3 * 11 : 5 + 3 * 11 + 3, 20] = 30.0, 50.0, 0.9  # the left hip
    found = yolo.keypoints(output)
    assert found.shape == (17, 2)
    np.testing.assert_allclose(found[COCO.index("left_hip")], [29.5, 49.5])


def test_yolo_takes_the_most_confident_remaining_box() -> None:
    output = np.zeros((1, 300, 57), np.float32)
    output[0, 0, 4], output[0, 2, 4] = 0.2, 0.7
    output[0, 2, 6 + 3 * 16 : 6 + 3 * 16 + 3] = 12.0, 80.0, 0.9  # the right ankle
    found = yolo.keypoints(output)
    np.testing.assert_allclose(found[COCO.index("right_ankle")], [11.5, 79.5])


def test_outputs_of_other_networks_are_told_apart() -> None:
    assert yolo.is_anchors([1, 56, 1344])
    assert yolo.is_boxes([1, 300, 57])
    assert not yolo.is_anchors([1, 135, 1344])  # of 80 classes
    assert not yolo.is_boxes([1, 300, 6])  # without keypoints


def test_joints_are_where_the_networks_have_them() -> None:
    assert len(COCO) == 17
    assert [COCO.index(name) for name in ("left_shoulder", "right_wrist", "left_hip", "right_ankle")] == [
        5,
        10,
        11,
        16,
    ]
    assert len(BLAZEPOSE) == 33
    assert [BLAZEPOSE.index(name) for name in ("left_shoulder", "left_wrist", "left_hip", "right_ankle")] == [
        11,
        15,
        23,
        28,
    ]


@pytest.mark.parametrize("joints", [COCO, BLAZEPOSE])
def test_common_joints_come_in_their_order(joints: tuple[str, ...]) -> None:
    found = np.stack([np.arange(len(joints)), np.zeros(len(joints))], axis=1)
    places = common(np.stack([found, found]), joints)[1, :, 0]
    assert [joints[int(place)] for place in places] == list(COMMON)


def test_a_network_for_other_things_is_one_sentence() -> None:
    with pytest.raises(DataError, match=r"right_ankle is needed, not one that finds wheel, door"):
        common(np.zeros((1, 2, 2)), ("wheel", "door"))

"""Measures against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coke_edge.errors import DataError
from coke_edge.train import metrics
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE

NAMES = ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "head_top")
PAIRS = ((0, 1), (2, 3))
seeds = st.integers(0, 2**32 - 1)


def objects(seed: int, count: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth [n, K, 2], predictions near it, boxes [n, 4]."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(10, 200, (count, len(NAMES), 2))
    found = truth + rng.normal(0, 15, truth.shape)
    boxes = np.concatenate([truth.min(1) - 5, truth.max(1) + 5], axis=1)
    return truth, found, boxes


def everything(truth: np.ndarray) -> np.ndarray:
    return np.ones(truth.shape[:2], bool)


def test_perfect_predictions_score_100_at_any_threshold():
    truth, _, boxes = objects(0)
    length = metrics.lengths("box", truth, boxes, NAMES, [])
    result = metrics.pck(metrics.distances(truth, truth), length, everything(truth), [1e-6, 0.1])
    assert result.percent.tolist() == [100, 100]
    assert (result.per_keypoint == 100).all()
    assert result.counts.tolist() == [6] * 5


@pytest.mark.parametrize(("factor", "expected"), [(1.0, 100.0), (1.0 + 1e-6, 0.0)])
@given(seed=seeds, threshold=st.sampled_from([0.05, 0.1, 0.2, 0.3]))
@settings(max_examples=25, deadline=None)
def test_a_shift_of_exactly_the_threshold_counts_and_more_does_not(factor, expected, seed, threshold):
    truth, _, boxes = objects(seed)
    length = metrics.lengths("torso", truth, boxes, NAMES, [])
    angle = np.random.default_rng(seed).uniform(0, 2 * math.pi, truth.shape[:2])
    shift = np.stack([np.cos(angle), np.sin(angle)], -1) * (factor * threshold * length)[:, None, None]
    result = metrics.pck(metrics.distances(truth + shift, truth), length, everything(truth), [threshold])
    assert result.percent[0] == expected


@pytest.mark.parametrize("normaliser", ["torso", "box"])
@given(seed=seeds, scale=st.floats(0.2, 5), quarter=st.integers(0, 3), mirror=st.booleans())
@settings(max_examples=25, deadline=None)
def test_pck_does_not_change_under_similarities_that_keep_boxes_upright(
    normaliser, seed, scale, quarter, mirror
):
    truth, found, boxes = objects(seed)
    cos, sin = round(math.cos(quarter * math.pi / 2)), round(math.sin(quarter * math.pi / 2))
    turn = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    moved = boxes.reshape(-1, 2, 2) @ turn.T + 7
    moved_boxes = np.concatenate([moved.min(1), moved.max(1)], axis=1)
    thresholds = [0.05, 0.1, 0.2, 0.5]

    def percent(t, f, b):
        length = metrics.lengths(normaliser, t, b, NAMES, [])
        return metrics.pck(metrics.distances(f, t), length, everything(t), thresholds).percent

    before, after = percent(truth, found, boxes), percent(truth @ turn.T + 7, found @ turn.T + 7, moved_boxes)
    np.testing.assert_allclose(before, after)


def test_pck_is_the_share_of_counted_keypoints_and_not_a_mean_of_means():
    distance = np.array([[0.0, 9.0, 9.0], [0.0, 0.0, 9.0]])
    mask = np.array([[True, False, False], [True, True, True]])
    result = metrics.pck(distance, [10.0, 10.0], mask, [0.5])
    assert result.percent[0] == 75.0  # three of four, although the objects have 100 and 67
    assert result.per_keypoint[0].tolist() == [100.0, 100.0, 0.0]
    assert result.counts.tolist() == [2, 1, 1]


def test_a_missing_prediction_is_wrong_at_every_threshold():
    truth, _, _ = objects(1)
    found = truth.copy()
    found[0, 0] = np.nan
    result = metrics.pck(metrics.distances(found, truth), np.ones(6), everything(truth), [1e9])
    assert result.percent[0] == pytest.approx(100 * 29 / 30)
    assert result.per_keypoint[0, 0] == pytest.approx(100 * 5 / 6)


def test_nothing_counted_is_nan_and_not_a_number():
    result = metrics.pck(np.zeros((2, 3)), [1.0, 1.0], np.zeros((2, 3), bool), [0.1])
    assert np.isnan(result.percent[0])
    assert np.isnan(result.per_keypoint).all()


def test_lengths_follow_their_definitions():
    truth = np.zeros((2, 5, 2))
    truth[:, 0], truth[:, 3] = (30, 40), (0, 0)  # left shoulder, right hip
    boxes = [[0, 0, 10, 30], [5, 5, 25, 6]]
    assert metrics.lengths("torso", truth, boxes, NAMES, []).tolist() == [50, 50]
    assert metrics.lengths("box", truth, boxes, NAMES, []).tolist() == [30, 20]
    assert metrics.lengths("head", truth, boxes, NAMES, [12.5, 7]).tolist() == [12.5, 7]


def test_objects_of_unknown_length_are_excluded():
    truth = np.ones((3, 5, 2))
    truth[1, 0] = np.nan
    truth[2, 0] = (4, 5)
    length = metrics.lengths("torso", truth, np.zeros((3, 4)), NAMES, [])
    assert np.isnan(length).tolist() == [True, True, False]  # 0, unlabelled, 5
    mask = metrics.counted(np.full((3, 5), VISIBLE), length)
    assert mask.any(axis=1).tolist() == [False, False, True]


def test_a_torso_needs_its_keypoints():
    with pytest.raises(DataError, match="left_shoulder and right_hip"):
        metrics.lengths("torso", np.zeros((1, 2, 2)), np.zeros((1, 4)), ("wheel", "door"), [])


def test_hidden_keypoints_count_only_if_asked():
    flags = np.array([[UNLABELLED, HIDDEN, VISIBLE]])
    assert metrics.counted(flags, [1.0]).tolist() == [[False, False, True]]
    assert metrics.counted(flags, [1.0], include_hidden=True).tolist() == [[False, True, True]]


@given(seed=seeds)
@settings(max_examples=25, deadline=None)
def test_forgiving_left_and_right_never_hurts_and_undoes_a_swap(seed):
    truth, found, _ = objects(seed)
    assert (metrics.distances_forgiven(found, truth, PAIRS) <= metrics.distances(found, truth)).all()
    swapped = truth[:, [1, 0, 3, 2, 4]]
    assert (metrics.distances(swapped, truth)[:, :4] > 0).all()
    assert (metrics.distances_forgiven(swapped, truth, PAIRS) == 0).all()
    np.testing.assert_array_equal(
        metrics.distances_forgiven(found, truth, ()), metrics.distances(found, truth)
    )


def test_forgiveness_needs_an_annotated_mirror_keypoint():
    truth = np.array([[[0.0, 0.0], [np.nan, np.nan]]])
    found = np.array([[[3.0, 4.0], [0.0, 0.0]]])
    gap = metrics.distances_forgiven(found, truth, ((0, 1),))
    assert gap[0, 0] == 5
    assert np.isnan(gap[0, 1])


@given(seed=seeds, count=st.integers(2, 40), levels=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_auroc_is_the_chance_that_a_positive_outscores_a_negative(seed, count, levels):
    rng = np.random.default_rng(seed)
    score = rng.integers(0, levels, count).astype(float)
    label = rng.random(count) < 0.5
    label[:2] = True, False
    wins = score[label][:, None] - score[~label][None]
    expected = (wins > 0).mean() + 0.5 * (wins == 0).mean()
    assert metrics.auroc(score, label) == pytest.approx(expected)


def test_auroc_at_its_ends():
    assert metrics.auroc([0.1, 0.2, 0.8], [False, False, True]) == 1
    assert metrics.auroc([0.9, 0.8, 0.1], [False, False, True]) == 0
    assert metrics.auroc([np.nan, 0.5], [False, True]) == 1  # no score ranks below every score
    assert math.isnan(metrics.auroc([0.1, 0.2], [True, True]))


def test_brier_log_loss_and_calibration_error():
    p, label = np.array([0.2] * 5 + [0.9] * 10), np.array([1] + [0] * 4 + [1] * 9 + [0])
    assert metrics.calibration_error(p, label) == pytest.approx(0, abs=1e-12)
    assert metrics.calibration_error(np.full(4, 1.0), [0, 0, 1, 1]) == pytest.approx(0.5)
    assert metrics.log_loss([0.25, 0.25], [1, 0]) == pytest.approx(-(np.log(0.25) + np.log(0.75)) / 2)
    assert metrics.log_loss([0.0, 1.0], [1, 1]) == pytest.approx(-np.log(1e-12) / 2)
    assert metrics.brier([1.0, 0.0, 0.5], [1, 1, 1]) == pytest.approx((0 + 1 + 0.25) / 3)

"""PCKh@0.5 as MPII's data sets have it: ≤, all annotated joints by their number, no pelvis, no thorax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coke_edge.train.data import load_dataset
from coke_edge.train.data.mpii_person import KEYPOINTS, NAMES, UNSCORED
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE, KeypointDataset, Sample
from coke_edge.train.evaluate import Evaluation, Predictions, score

PELVIS, THORAX = (NAMES.index(name) for name in UNSCORED)


def persons(*head_sizes: float, **flags: int) -> KeypointDataset:
    """One person for each head size, with all joints visible but the ones given."""
    samples = []
    for i, size in enumerate(head_sizes):
        points = np.stack([np.arange(16.0), 10 + np.arange(16.0)], axis=1).astype(np.float32)
        visibility = np.full(16, VISIBLE, np.uint8)
        for name, flag in flags.items():
            visibility[NAMES.index(name)] = flag
        points[visibility == UNLABELLED] = np.nan
        samples.append(
            Sample(Path("1.png"), points, visibility, np.array([0, 0, 9, 9]), str(i), {"head_size": size})
        )
    return KeypointDataset("mpii", "val", KEYPOINTS, samples, "head", False, UNSCORED, counts_hidden=True)


def evaluation(dataset: KeypointDataset, shift: Any = 0.0, **more: Any) -> Evaluation:
    """Of predictions that are `shift` [n, K, 2] (or what broadcasts to it) beside the truth."""
    truth = np.stack([sample.keypoints for sample in dataset.samples]).astype(float)
    n, k = truth.shape[:2]
    found = Predictions(
        dataset.samples, NAMES, truth + shift, np.full((n, k), np.nan), np.ones(n), truth + shift
    )
    return score(found, dataset, [0.5], **more)


def test_perfect_predictions_are_100() -> None:
    result = evaluation(persons(30.0, 60.0))
    assert result.pck == result.keypoint_mean == {"0.5": 100.0}
    assert result.keypoints == 2 * 14


@pytest.mark.parametrize(("shift", "expected"), [(14.99, 100.0), (15.0, 100.0), (15.01, 0.0)])
def test_at_the_threshold_counts(shift: float, expected: float) -> None:
    assert evaluation(persons(30.0), [shift, 0.0]).pck["0.5"] == expected


def test_every_person_has_a_head_of_their_own() -> None:
    assert evaluation(persons(30.0, 40.0), [18.0, 0.0]).pck["0.5"] == 50.0


def test_pelvis_and_thorax_do_not_count() -> None:
    shift = np.zeros((16, 2))
    shift[[PELVIS, THORAX]] = 1000.0
    result = evaluation(persons(30.0), shift)
    assert result.pck["0.5"] == 100.0
    assert [result.per_keypoint[name]["count"] for name in UNSCORED] == [0, 0]
    assert result.to_json()["per_keypoint"]["pelvis"] == {"pck": {"0.5": None}, "count": 0}


def test_covered_joints_count_and_missing_ones_do_not() -> None:
    result = evaluation(persons(30.0, left_wrist=HIDDEN, head_top=UNLABELLED))
    assert result.keypoints == 13
    assert result.include_hidden
    assert result.per_keypoint["left_wrist"]["count"] == 1


def test_joints_weigh_by_their_number_and_equally_in_the_mean() -> None:
    whole, headless = persons(30.0), persons(30.0, head_top=UNLABELLED)
    both = KeypointDataset(
        "mpii", "val", KEYPOINTS, [*whole.samples, *headless.samples], "head", False, UNSCORED, True
    )
    shift = np.zeros((16, 2))
    shift[NAMES.index("head_top")] = 1000.0
    result = evaluation(both, shift)
    assert result.pck["0.5"] == pytest.approx(100 * 26 / 27)
    assert result.keypoint_mean["0.5"] == pytest.approx(100 * 13 / 14)


@pytest.mark.parametrize("size", [np.nan, 0.0])
def test_a_person_without_a_head_does_not_count(size: float) -> None:
    result = evaluation(persons(size, 30.0))
    assert (result.excluded, result.keypoints, result.pck["0.5"]) == (1, 14, 100.0)


@pytest.mark.data
def test_against_the_published_head_sizes(data_root: Path) -> None:
    """All 2,958 persons moved by what the formula allows, a hair less and a hair more; and by one length for all."""
    h5py = pytest.importorskip("h5py")
    path = data_root / "mpii/valid.h5"
    dataset = load_dataset(f"mpii:{path}?split=all", "test", require_images=False)
    with h5py.File(path) as file:
        sizes, part = file["normalize"][()], file["part"][()]
    np.testing.assert_array_equal([sample.meta["head_size"] for sample in dataset.samples], sizes)
    direction = np.array([0.6, 0.8])
    for factor, expected in ((0.0, 100.0), (0.4999, 100.0), (0.5001, 0.0)):
        assert evaluation(dataset, factor * sizes[:, None, None] * direction).pck["0.5"] == expected
    labelled = (part != 0).any(axis=2)
    labelled[:, [PELVIS, THORAX]] = False
    near = labelled & (0.5 * sizes >= 30.0)[:, None]
    result = evaluation(dataset, 30.0 * direction)
    assert result.keypoints == labelled.sum()
    assert result.pck["0.5"] == pytest.approx(100 * near.sum() / labelled.sum())

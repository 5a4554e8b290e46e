"""Reports: all files are there, whole, and say what was measured."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from coke_edge.detector import Detector
from coke_edge.errors import CokeError
from coke_edge.train.evaluate import Evaluation, evaluate
from coke_edge.train.report import GREEN, TILE, contact_sheet, write_report
from coke_edge.train.torch_backend import TorchBackend


@pytest.fixture
def evaluation(world) -> Evaluation:
    backend = TorchBackend(SimpleNamespace(model=world.model, spec=world.spec))
    return evaluate(
        Detector.from_backend(world.spec, backend), world.dataset, progress=False, model="colours"
    )


def shifted(evaluation: Evaluation, index: int) -> Evaluation:
    """The same, with the predictions of one object far off and one without a peak."""
    xy = evaluation.predictions.xy.copy()
    xy[index] += 60
    xy[index, 0] = np.nan
    return dataclasses.replace(evaluation, predictions=dataclasses.replace(evaluation.predictions, xy=xy))


def test_the_report_holds_figures_curve_pictures_and_predictions(world, evaluation, tmp_path):
    paths = write_report(tmp_path / "new" / "folder", shifted(evaluation, 3), world.dataset)
    assert [path.name for path in paths] == ["evaluation.json", "curve.png", "worst.jpg", "predictions.jsonl"]
    assert sorted((tmp_path / "new" / "folder").iterdir()) == sorted(paths)  # and nothing half-written
    assert json.loads(paths[0].read_text()) == evaluation.to_json()
    curve, worst = cv2.imread(str(paths[1])), cv2.imread(str(paths[2]))
    assert curve.std() > 5
    assert worst.shape == (2 * TILE, 6 * TILE, 3)


def test_predictions_can_be_scored_again(world, evaluation, tmp_path):
    path = write_report(tmp_path, shifted(evaluation, 3), world.dataset)[-1]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["key"] for row in rows] == [sample.key for sample in world.dataset.samples]
    assert rows[3]["keypoints"][0]["found"] == [None, None]
    assert rows[3]["keypoints"][0]["error_px"] is None
    for row, sample in zip(rows, world.dataset.samples, strict=True):
        for k, point in enumerate(row["keypoints"]):
            assert point["truth"] == pytest.approx(sample.keypoints[k], abs=0.01)
            if point["error_px"] is not None:
                measured_at = "found" if point["truth_visibility"] == "visible" else "place"
                gap = np.subtract(point[measured_at], point["truth"])
                assert point["error_px"] == pytest.approx(np.hypot(*gap), abs=0.02)
    assert rows[0]["torso"] == pytest.approx(
        np.hypot(*(world.dataset.samples[0].keypoints[0] - world.dataset.samples[0].keypoints[3])), abs=0.01
    )


def test_the_worst_object_comes_first(world, evaluation, tmp_path):
    plain, bad = tmp_path / "plain.jpg", tmp_path / "bad.jpg"
    contact_sheet(plain, shifted(evaluation, 7), world.dataset, count=1)
    contact_sheet(bad, shifted(evaluation, 2), world.dataset, count=1)
    first, second = cv2.imread(str(plain)), cv2.imread(str(bad))
    assert first.shape == second.shape == (TILE, TILE, 3)
    for picture, number in ((first, 7), (second, 2)):
        sample = world.dataset.samples[number]
        scale = TILE / (128 * 1.35)
        x, y = np.rint((sample.keypoints - 63.5) * scale + (TILE - 1) / 2).astype(int).T
        assert np.abs(picture[y, x].astype(int) - GREEN).max() < 60  # a green dot on every annotated keypoint


def test_a_folder_that_cannot_be_written_is_one_sentence(world, evaluation, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CokeError, match="cannot write"):
        write_report(tmp_path / "file" / "report", evaluation, world.dataset)

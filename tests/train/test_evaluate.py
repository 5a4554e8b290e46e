"""Evaluation of a detector on a data set: what runs, on what, and what is refused."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from coke_edge.detector import Detector
from coke_edge.errors import DataError
from coke_edge.kernels.reference import Peaks
from coke_edge.manifest import Keypoints2D
from coke_edge.train.evaluate import evaluate


class Blind:
    """A backend that never finds anything."""

    name = "blind"

    def __call__(self, frame, crops):
        shape = (len(crops), 4, 1)
        nothing = np.full(shape, -np.inf, np.float32)
        return Peaks(
            np.full(shape, -1, np.int32),
            nothing,
            nothing,
            nothing,
            np.full((*shape, 3, 3), -np.inf, np.float32),
        )


def test_a_model_that_is_right_scores_100_and_reports_what_it_ran_on(world, detector_of):
    result = evaluate(detector_of(world), world.dataset, progress=False, model="colours")
    figures = result.to_json()
    assert result.pck == {"0.05": 100.0, "0.1": 100.0, "0.2": 100.0}
    assert result.median_error_px < 1
    assert (figures["images"], figures["objects"], figures["keypoints"], figures["excluded"]) == (
        12,
        12,
        48,
        0,
    )
    assert (figures["model"], figures["backend"], figures["normaliser"]) == ("colours", "torch", "torso")
    assert figures["per_keypoint"]["left_hip"] == {"pck": result.pck, "count": 12}
    assert figures["visibility_auroc"] is None  # neither calibrated nor marked
    assert result.latency_ms["median"] > 0
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_no_peaks_at_all_is_zero_and_still_json(world, detector_of):
    result = evaluate(Detector.from_backend(world.spec, Blind()), world.dataset, progress=False)
    assert set(result.pck.values()) == {0.0}
    assert result.to_json()["median_error_px"] is None
    assert result.backend == "blind"


def test_thresholds_and_limit_are_the_users(world, detector_of):
    result = evaluate(detector_of(world), world.dataset, thresholds=[0.15, 3], limit=5, progress=False)
    assert list(result.pck) == ["0.15", "3"]
    assert result.images == result.objects == 5


@pytest.mark.parametrize(
    ("layout", "sentence"),
    [
        (Keypoints2D(("wheel", "door")), r"finds 2 keypoints \(wheel, door\), but blobs: labels 4"),
        (
            Keypoints2D(("left_shoulder", "left_hip", "right_shoulder", "right_hip")),
            "keypoint 1 is left_hip in the model, but right_shoulder in blobs:",
        ),
    ],
)
def test_other_keypoints_than_the_models_are_refused(world, detector_of, layout, sentence):
    spec = msgspec.structs.replace(world.spec, keypoints=layout)
    with pytest.raises(DataError, match=sentence):
        evaluate(detector_of(world, spec), world.dataset, progress=False)

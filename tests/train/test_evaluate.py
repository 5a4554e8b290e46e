"""Evaluation of a detector whose mistakes are known."""

from __future__ import annotations

import copy
import dataclasses
import json
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from coke_edge.detector import Detector
from coke_edge.errors import BackendError, BundleError, CokeError, DataError
from coke_edge.kernels.reference import Peaks
from coke_edge.manifest import Keypoints2D, VisibilitySpec
from coke_edge.train.data.sample import HIDDEN, UNLABELLED
from coke_edge.train.evaluate import evaluate, open_model
from coke_edge.train.torch_backend import TorchBackend


def detector_of(world, spec=None) -> Detector:
    spec = spec or world.spec
    return Detector.from_backend(spec, TorchBackend(SimpleNamespace(model=world.model, spec=spec)))


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


def test_a_model_that_is_right_scores_100_and_reports_what_it_ran_on(world):
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


def test_a_swap_of_left_and_right_is_wrong_unless_forgiven(world):
    names = world.spec.keypoints.names
    swapped = copy.copy(world.model)
    swapped.prototypes = world.model.prototypes[[1, 0, 3, 2]]
    result = evaluate(detector_of(dataclasses.replace(world, model=swapped)), world.dataset, progress=False)
    assert result.pck["0.1"] == 0
    assert result.left_right_forgiven["0.1"] == 100
    assert {result.per_keypoint[name]["pck"]["0.1"] for name in names} == {0.0}


def test_no_peaks_at_all_is_zero_and_still_json(world):
    result = evaluate(Detector.from_backend(world.spec, Blind()), world.dataset, progress=False)
    assert set(result.pck.values()) == {0.0}
    assert result.to_json()["median_error_px"] is None
    assert result.backend == "blind"


def test_thresholds_and_limit_are_the_users(world):
    result = evaluate(detector_of(world), world.dataset, thresholds=[0.15, 3], limit=5, progress=False)
    assert list(result.pck) == ["0.15", "3"]
    assert result.images == result.objects == 5


def test_hidden_and_unlabelled_keypoints_and_broken_torsos(world):
    samples = list(world.dataset.samples)
    flags = samples[0].visibility.copy()
    flags[0], flags[1] = HIDDEN, UNLABELLED
    samples[0] = dataclasses.replace(samples[0], visibility=flags)
    points = samples[1].keypoints.copy()
    points[0] = points[3]
    samples[1] = dataclasses.replace(samples[1], keypoints=points)
    dataset = dataclasses.replace(world.dataset, samples=samples)
    plain = evaluate(detector_of(world), dataset, progress=False)
    assert (plain.keypoints, plain.excluded) == (48 - 2 - 4, 1)
    assert evaluate(detector_of(world), dataset, progress=False, include_hidden=True).keypoints == 48 - 1 - 4


def test_visibility_is_scored_where_the_data_set_marks_it(world):
    samples = [
        dataclasses.replace(s, visibility=np.array([HIDDEN, 2, 2, 2], np.uint8))
        for s in world.dataset.samples
    ]
    dataset = dataclasses.replace(world.dataset, samples=samples, marks_hidden=True)
    first_hidden = VisibilitySpec(0.0, 0.0, 0.0, bias=(-1.0, 1.0, 1.0, 2.0))
    spec = msgspec.structs.replace(world.spec, visibility=first_hidden)
    assert evaluate(detector_of(world, spec), dataset, progress=False).visibility_auroc == 1
    assert np.isnan(evaluate(detector_of(world), dataset, progress=False).visibility_auroc)


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
def test_other_keypoints_than_the_models_are_refused(world, layout, sentence):
    spec = msgspec.structs.replace(world.spec, keypoints=layout)
    with pytest.raises(DataError, match=sentence):
        evaluate(detector_of(world, spec), world.dataset, progress=False)


def test_the_progress_bar_goes_to_stderr(world, capsys):
    evaluate(detector_of(world), world.dataset, limit=2)
    assert capsys.readouterr().out == ""


def test_a_model_file_and_a_backend_that_do_not_fit(tmp_path):
    with pytest.raises(BackendError, match="which only torch runs"):
        open_model(str(tmp_path), "onnxruntime")
    with pytest.raises(BackendError, match="which torch does not run"):
        open_model("person.coke", "torch")
    with pytest.raises(BackendError, match="export it with `--precision int8` first"):
        open_model(str(tmp_path), precision="int8")


@pytest.mark.parametrize("name", ["gone.safetensors", "gone.coke", "run"])
def test_a_missing_model_is_one_sentence(tmp_path, name):
    (tmp_path / "run").mkdir()
    with pytest.raises(BundleError) as caught:
        open_model(str(tmp_path / name))
    assert isinstance(caught.value, CokeError)
    assert "\n" not in str(caught.value)

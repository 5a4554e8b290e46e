"""Evaluation under occlusion, with a model that is always right where it is not covered."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import msgspec
import numpy as np
import pytest

from coke_edge.detector import Detector
from coke_edge.manifest import VisibilitySpec
from coke_edge.train.data.sample import HIDDEN, VISIBLE
from coke_edge.train.evaluate import Predictions, evaluate
from coke_edge.train.occluders import Occluders
from coke_edge.train.robustness import evaluate_levels
from coke_edge.train.scoring import covered_auroc, score
from coke_edge.train.torch_backend import TorchBackend


@pytest.fixture(scope="module")
def occluders(world, tmp_path_factory: pytest.TempPathFactory) -> Occluders:
    """Grey photos: no blob's colour is in them."""
    folder: Path = tmp_path_factory.mktemp("grey")
    for n, photo in enumerate(world.photos):
        cv2.imwrite(str(folder / f"{n}.png"), photo)
    return Occluders(str(folder))


def detector_of(world) -> Detector:
    """P(visible) rises with the similarity at the peak."""
    spec = msgspec.structs.replace(world.spec, visibility=VisibilitySpec(9.0, 0.0, 0.0, bias=(-6.0,) * 4))
    return Detector.from_backend(spec, TorchBackend(SimpleNamespace(model=world.model, spec=spec)))


@pytest.fixture(scope="module")
def centred(world):
    """Six images, whose inner part is the object, so that there is a background."""
    box = np.array([24, 24, 104, 104], np.float32)
    return dataclasses.replace(
        world.dataset, samples=[dataclasses.replace(s, box=box) for s in world.dataset.samples[:6]]
    )


def test_covered_keypoints_score_visibility_and_not_position(world, centred, occluders):
    detector = detector_of(world)
    results = evaluate_levels(detector, centred, ["L0", "L1", "L3"], occluders, seed=1, progress=False)
    clean, light, heavy = (result.evaluation for result in results)
    assert (clean.keypoints, clean.covered) == (24, 0)
    assert np.isnan(clean.covered_auroc)
    assert clean.pck == evaluate(detector, centred, progress=False).pck
    assert light.keypoints + light.covered == heavy.keypoints + heavy.covered == 24
    assert 0 < light.covered < heavy.covered
    assert 0 <= heavy.covered_auroc <= 1
    assert np.isnan(light.visibility_auroc)  # the data set itself does not mark hidden keypoints
    for result, low in zip(results, (0.0, 0.2, 0.6), strict=True):
        assert low <= result.object_share["min"] <= result.object_share["max"] <= low + 0.2
    assert all(result.unmet == 0 for result in results)


def test_the_same_seed_gives_the_same_figures_in_any_order(world, centred, occluders):
    def figures(samples, seed=0):
        dataset = dataclasses.replace(centred, samples=samples)
        (result,) = evaluate_levels(detector_of(world), dataset, ["L2"], occluders, seed, progress=False)
        shown = {s.key: s.visibility.tolist() for s in result.evaluation.predictions.samples}
        return shown, {k: v for k, v in result.to_json().items() if k != "latency_ms"}

    one, other = figures(centred.samples), figures(centred.samples[::-1])
    assert one[0] == other[0]
    assert one[1]["pck"] == other[1]["pck"]
    assert one[1]["covered_auroc"] == other[1]["covered_auroc"]
    assert one[0] != figures(centred.samples, seed=1)[0]


def test_covered_keypoints_do_not_count_where_hidden_ones_do(world, centred, occluders):
    """PCKh counts hidden joints; those that an occluder was pasted on are no joints that anyone could find."""
    flags = np.array([HIDDEN, VISIBLE, VISIBLE, VISIBLE], np.uint8)
    samples = [dataclasses.replace(s, visibility=flags) for s in centred.samples]
    dataset = dataclasses.replace(centred, samples=samples, counts_hidden=True, marks_hidden=True)
    (result,) = evaluate_levels(detector_of(world), dataset, ["L2"], occluders, progress=False)
    found = result.evaluation
    under = sum(int((s.meta["covered"] > 0).sum()) for s in found.predictions.samples)
    assert found.keypoints == 24 - under
    assert found.covered < under  # a joint that was hidden before says nothing about occluders
    assert np.isfinite(found.visibility_auroc)


def test_the_auroc_is_that_of_covered_against_visible(world):
    """Neither a keypoint that was hidden before nor one hidden by something else takes part."""
    flags = np.array([VISIBLE, HIDDEN, HIDDEN, HIDDEN], np.uint8)
    covered = np.array([0, VISIBLE, HIDDEN, 0], np.uint8)
    shown = [
        dataclasses.replace(s, visibility=flags, meta={"covered": covered}) for s in world.dataset.samples[:2]
    ]

    def auroc(*visible: tuple[float, ...]) -> float:
        found = np.array(visible)
        nowhere = np.zeros((2, 4, 2))
        return covered_auroc(
            Predictions(shown, world.spec.keypoints.names, nowhere, found, np.zeros(2), nowhere)
        )

    assert auroc((0.9, 0.2, 1.0, 1.0), (0.8, 0.1, 1.0, 1.0)) == 1
    assert auroc((0.9, 0.2, 0.0, 0.0), (0.8, 0.85, 0.0, 0.0)) == 0.75
    assert np.isnan(auroc((np.nan,) * 4, (np.nan,) * 4))


def test_covered_keypoints_are_placed_right_or_not(world, centred, occluders):
    """Of those that an occluder was pasted on and that were visible before, the share within the threshold."""
    (result,) = evaluate_levels(detector_of(world), centred, ["L2"], occluders, progress=False)
    found = result.evaluation.predictions
    under = np.stack([sample.meta["covered"] == VISIBLE for sample in found.samples])
    truth = np.stack([sample.keypoints for sample in found.samples]).astype(float)
    assert int(under.sum()) == result.evaluation.covered > 2
    right = under & (np.cumsum(under).reshape(under.shape) % 2 == 1)  # every second one
    away = truth + 1000.0
    placed = dataclasses.replace(found, xy=away, places=np.where(right[..., None], truth, away))
    figures = score(placed, centred, [0.1])
    assert figures.covered_pck == {"0.1": pytest.approx(100 * right.sum() / under.sum())}
    assert figures.pck["0.1"] == 0.0
    (clean,) = evaluate_levels(detector_of(world), centred, ["L0"], occluders, progress=False)
    assert all(np.isnan(value) for value in clean.evaluation.covered_pck.values())


def test_json_holds_everything(world, centred, occluders):
    (result,) = evaluate_levels(detector_of(world), centred, ["L1"], occluders, limit=2, progress=False)
    figures = result.to_json()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert {
        "pck",
        "left_right_forgiven",
        "covered_auroc",
        "covered_pck",
        "covered",
        "object_share",
        "unmet",
    } <= set(figures)
    assert figures["objects"] == 2
    assert set(figures["background_share"]) == {"min", "mean", "max"}

"""Visibility: the fit against data of a known law, and the whole calibration on blobs that get covered."""

from __future__ import annotations

import copy
import dataclasses
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from coke_edge.decode import visibility as decoded_visibility
from coke_edge.detector import Detector
from coke_edge.kernels.reference import Peaks
from coke_edge.train import visibility
from coke_edge.train.data.sample import HIDDEN
from coke_edge.train.torch_backend import TorchBackend
from coke_edge.train.visibility import (
    Observations,
    at_most,
    calibrate,
    choose_margin,
    choose_rule,
    cross_validate,
    fit,
    observe,
    probability,
)

KEYPOINTS = 3


def drawn(count: int, slopes=(8.0, -6.0, 0.0), biases=(0.0, 1.0, -1.0), seed: int = 0) -> Observations:
    """Observations whose truth follows the logistic law."""
    rng = np.random.default_rng(seed)
    quantities = rng.uniform(-0.2, 1.0, (count, 3))
    keypoint = rng.integers(0, KEYPOINTS, count)
    logit = quantities @ np.array(slopes) + np.array(biases)[keypoint]
    visible = rng.random(count) < 1 / (1 + np.exp(-logit))
    return Observations(quantities, keypoint, visible, np.arange(count) // 6, np.zeros(count, bool))


def test_the_fit_finds_the_law_that_made_the_data():
    spec = fit(drawn(20_000), KEYPOINTS)
    assert spec.similarity == pytest.approx(8, abs=0.6)
    assert spec.clutter == pytest.approx(-6, abs=0.6)
    assert spec.soft_clutter == pytest.approx(0, abs=0.3)
    np.testing.assert_allclose(spec.bias, (0, 1, -1), atol=0.3)


def test_a_bias_is_shrunk_to_the_common_one_until_there_is_evidence():
    few, many = (fit(drawn(n, slopes=(0, 0, 0), biases=(3, 0, -3)), KEYPOINTS) for n in (30, 6000))
    assert np.ptp(many.bias) > 5
    assert np.ptp(few.bias) < 0.6 * np.ptp(many.bias)


def test_a_constant_quantity_gets_no_slope_and_no_nan():
    seen = drawn(300)
    seen.quantities[:, 1:] = -1.0  # an empty clutter bank
    spec = fit(seen, KEYPOINTS)
    assert spec.clutter == spec.soft_clutter == 0
    assert np.isfinite(spec.bias).all()
    assert spec.similarity > 1


def test_the_decode_computes_the_same_probability():
    seen = drawn(60)
    spec = fit(seen, KEYPOINTS)
    order = np.argsort(seen.keypoint, kind="stable")
    first = [order[seen.keypoint[order] == k][:5] for k in range(KEYPOINTS)]
    rows = np.stack(first, axis=1)  # [5, K]
    s, c, soft = (seen.quantities[rows, i][..., None].astype(np.float32) for i in range(3))
    index = np.zeros((5, KEYPOINTS, 1), np.int32)
    peaks = Peaks(index, s, c, soft, np.zeros((5, KEYPOINTS, 1, 3, 3), np.float32))
    np.testing.assert_allclose(decoded_visibility(peaks, spec), probability(spec, seen)[rows], rtol=1e-5)


def test_cross_validation_reports_a_good_fit_and_does_not_believe_noise():
    good = cross_validate(drawn(3000), KEYPOINTS)
    assert good["auroc"] > 0.85
    assert good["calibration_error"] < 0.04
    assert good["observations"] == 3000
    noise = drawn(3000)._replace(visible=np.random.default_rng(1).random(3000) < 0.5)
    assert cross_validate(noise, KEYPOINTS)["auroc"] == pytest.approx(0.5, abs=0.04)


def test_an_object_is_never_in_its_own_fit():
    # Two observations of every object agree by chance alone; seen in the fit, they would look predictable.
    rng = np.random.default_rng(0)
    quantities = np.repeat(rng.normal(size=(40, 3)), 2, axis=0)
    visible = np.repeat(rng.random(40) < 0.5, 2)
    seen = Observations(
        quantities, np.zeros(80, int), visible, np.repeat(np.arange(40), 2), np.zeros(80, bool)
    )
    assert cross_validate(seen, 1)["auroc"] < 0.65
    assert cross_validate(seen.take(seen.object == 0), 1) == {}


def test_observations_are_seeded_and_cover_what_they_call_hidden(world):
    spec = world.spec
    detector = Detector.from_backend(spec, TorchBackend(SimpleNamespace(model=world.model, spec=spec)))
    seen, again = (observe(detector, world.dataset, world.photos, seed=3) for _ in range(2))
    assert all((a == b).all() for a, b in zip(seen, again, strict=True))
    assert seen.visible[~seen.occluded].all()
    assert len(seen.visible) == 3 * 48
    # A covered blob is gone: what is found instead resembles it less.
    similarity = seen.quantities[:, 0]
    assert similarity[seen.visible].min() > np.median(similarity[~seen.visible])


@pytest.mark.parametrize(("photos", "at_least"), [(True, 0.95), (False, 0.8)])
def test_calibration_tells_covered_blobs_from_seen_ones(world, photos, at_least):
    before = world.spec
    spec, figures = calibrate(world.model, before, world.dataset, world.photos if photos else None, seed=1)
    assert spec.visibility is not None
    assert len(spec.visibility.bias) == 4
    assert figures["visibility"]["auroc"] > at_least
    assert figures["visibility"]["auroc_occluded"] > at_least
    assert figures["pck_by_rule"][figures["rule"]] == max(figures["pck_by_rule"].values())
    assert msgspec.structs.replace(spec, visibility=None, head=before.head) == before


def test_an_image_is_not_occluded_with_itself(world, monkeypatch):
    seen = []

    def record(image, box, rng, photos, coverage):
        seen.append((image, photos))
        return image, np.zeros(image.shape[:2], bool)

    monkeypatch.setattr(visibility, "paste_occluders", record)
    list(visibility.occluded_images(world.dataset, None, seed=0))
    assert len(seen) == 24
    assert all(len(photos) == 11 and all(image is not photo for photo in photos) for image, photos in seen)
    seen.clear()
    list(visibility.occluded_images(world.dataset, world.photos, seed=0))
    assert all(photos is world.photos for _, photos in seen)


def test_annotated_hiding_counts_where_the_data_set_marks_it(world):
    flags = np.array([HIDDEN, 2, 2, 2], np.uint8)
    samples = [dataclasses.replace(s, visibility=flags) for s in world.dataset.samples]
    spec = world.spec
    detector = Detector.from_backend(spec, TorchBackend(SimpleNamespace(model=world.model, spec=spec)))
    for marks in (True, False):
        dataset = dataclasses.replace(world.dataset, samples=samples, marks_hidden=marks)
        seen = observe(detector, dataset, world.photos)
        assert (seen.keypoint == 0).sum() == (36 if marks else 0)
        assert not seen.visible[seen.keypoint == 0].any()


def test_the_rule_is_the_one_that_finds_more(world):
    model = copy.copy(world.model)
    model.clutter = world.model.prototypes[:1]
    spec, pck = choose_rule(model, world.spec, world.dataset)
    assert spec.head.rule == "similarity"  # the margin of the first keypoint is 0 everywhere
    assert pck["margin"] < pck["similarity"]
    kept, pck = choose_rule(model, world.spec, world.dataset, rules=["margin"])
    assert kept.head.rule == "margin"
    assert list(pck) == ["margin"]


def test_the_margin_is_the_one_that_finds_more(world):
    own = world.spec.input.box_margin
    spec, pck = choose_margin(world.model, world.spec, world.dataset, [40 * own, own])
    assert spec == world.spec  # forty times as far away nothing can be told apart
    assert pck[f"{own:g}"] > pck[f"{40 * own:g}"]


def test_a_large_data_set_is_thinned_by_the_seed(world):
    keys = [[s.key for s in at_most(5, world.dataset, seed).samples] for seed in (0, 0, 1)]
    assert keys[0] == keys[1] != keys[2]
    assert len(set(keys[0])) == 5
    assert at_most(12, world.dataset, 0) is world.dataset

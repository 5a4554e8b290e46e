"""The whole calibration on blobs that get covered."""

from __future__ import annotations

import copy
import dataclasses
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from coke_edge.detector import Detector
from coke_edge.train import visibility
from coke_edge.train.data.sample import HIDDEN
from coke_edge.train.torch_backend import TorchBackend
from coke_edge.train.visibility import (
    at_most,
    calibrate,
    choose_margin,
    choose_rule,
    observe,
)
from coke_edge.validate import check_model


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


def test_the_probability_reads_four_peaks_or_as_many_as_the_model_keeps(world):
    spec, _ = calibrate(world.model, world.spec, world.dataset, world.photos, seed=1)
    assert spec.head.peaks == 4
    assert spec.visibility.evidence.peaks == 4
    assert spec.visibility.evidence.temperature == spec.head.temperature
    more = msgspec.structs.replace(world.spec, head=dataclasses.replace(world.spec.head, peaks=6))
    spec, _ = calibrate(world.model, more, world.dataset, world.photos, seed=1)
    assert (spec.head.peaks, spec.visibility.evidence.peaks) == (6, 4)
    check_model(spec)


def test_without_anything_hidden_the_model_keeps_the_peaks_that_it_had(world, monkeypatch):
    monkeypatch.setattr(visibility, "COVERAGES", ((0, 0),))
    before = msgspec.structs.replace(world.spec, visibility=None)
    spec, figures = calibrate(world.model, before, world.dataset, world.photos, rules=[before.head.rule])
    assert spec == before
    assert "visibility" not in figures

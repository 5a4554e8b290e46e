"""Figures of a detector whose mistakes are known."""

from __future__ import annotations

import copy
import dataclasses

import msgspec
import numpy as np

from coke_edge.manifest import VisibilitySpec
from coke_edge.train.data.sample import HIDDEN, UNLABELLED
from coke_edge.train.evaluate import evaluate
from coke_edge.train.scoring import measured, truth_of


def test_a_swap_of_left_and_right_is_wrong_unless_forgiven(world, detector_of):
    names = world.spec.keypoints.names
    swapped = copy.copy(world.model)
    swapped.prototypes = world.model.prototypes[[1, 0, 3, 2]]
    result = evaluate(detector_of(dataclasses.replace(world, model=swapped)), world.dataset, progress=False)
    assert result.pck["0.1"] == 0
    assert result.left_right_forgiven["0.1"] == 100
    assert {result.per_keypoint[name]["pck"]["0.1"] for name in names} == {0.0}


def test_hidden_and_unlabelled_keypoints_and_broken_torsos(world, detector_of):
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


def test_visibility_is_scored_where_the_data_set_marks_it(world, detector_of):
    samples = [
        dataclasses.replace(s, visibility=np.array([HIDDEN, 2, 2, 2], np.uint8))
        for s in world.dataset.samples
    ]
    dataset = dataclasses.replace(world.dataset, samples=samples, marks_hidden=True)
    first_hidden = VisibilitySpec(0.0, 0.0, 0.0, bias=(-1.0, 1.0, 1.0, 2.0))
    spec = msgspec.structs.replace(world.spec, visibility=first_hidden)
    assert evaluate(detector_of(world, spec), dataset, progress=False).visibility_auroc == 1
    assert np.isnan(evaluate(detector_of(world), dataset, progress=False).visibility_auroc)


def test_a_hidden_keypoint_is_measured_at_its_place_and_a_visible_one_in_the_first_map(world, detector_of):
    flags = np.array([HIDDEN, 2, 2, 2], np.uint8)
    samples = [dataclasses.replace(s, visibility=flags) for s in world.dataset.samples]
    dataset = dataclasses.replace(world.dataset, samples=samples)
    found = evaluate(detector_of(world), dataset, progress=False).predictions
    placed = dataclasses.replace(found, places=found.xy + 30.0)
    distance, _, mask = measured(placed, dataset, include_hidden=True)
    np.testing.assert_allclose(distance[:, 1:], measured(found, dataset)[0][:, 1:])
    np.testing.assert_allclose(distance[:, 0], np.hypot(*(placed.places - truth_of(samples))[:, 0].T))
    assert mask[:, 0].all()
    assert not measured(placed, dataset)[2][:, 0].any()

"""What a network is to find, and that P(visible) is about something else."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from coke_edge.detector import Detector
from coke_edge.manifest import InputSpec
from coke_edge.train import crops as module
from coke_edge.train.crops import Crops
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE, KeypointDataset
from coke_edge.train.data.targets import target_flags
from coke_edge.train.recipe import make_recipe
from coke_edge.train.torch_backend import TorchBackend
from coke_edge.train.visibility import observe

FLAGS = np.array([VISIBLE, HIDDEN, UNLABELLED], np.uint8)
SPEC = InputSpec(64, 64, 1.2, (127, 127, 127), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
STILL = {"flip": 0.0, "scale": 0.0, "rotation": 0.0, "shift": 0.0, "colour": 0.0, "workers": 0}


@pytest.mark.parametrize(
    ("counts_hidden", "expected"),
    [(False, [VISIBLE, HIDDEN, UNLABELLED]), (True, [VISIBLE, VISIBLE, UNLABELLED])],
)
def test_hidden_keypoints_are_targets_where_they_are_counted(
    counts_hidden: bool, expected: list[int]
) -> None:
    found = target_flags(FLAGS, counts_hidden)
    assert (found.tolist(), found.dtype) == (expected, np.uint8)
    found[0] = UNLABELLED  # a copy: training goes on to change it
    assert FLAGS.tolist() == [VISIBLE, HIDDEN, UNLABELLED]


@pytest.mark.parametrize(("counts_hidden", "expected"), [(False, HIDDEN), (True, VISIBLE)])
def test_training_crops_have_these_flags(dots: KeypointDataset, counts_hidden: bool, expected: int) -> None:
    data = dataclasses.replace(dots, counts_hidden=counts_hidden)
    recipe = make_recipe("edge", **STILL, width=64, height=64, occluders=0.0)
    assert Crops(data, recipe, SPEC)[0, 11].visibility.tolist() == [expected, VISIBLE, VISIBLE, VISIBLE]
    assert data.samples[11].visibility[0] == HIDDEN


def test_what_training_pastes_on_is_absent_in_all_data_sets(
    dots: KeypointDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAST_COVERED", 0.99)
    recipe = make_recipe("edge", **STILL, width=64, height=64, occluders=1.0, occluder_cover=1.0)
    covered = Crops(dataclasses.replace(dots, counts_hidden=True), recipe, SPEC)
    flags = np.stack([covered[0, i].visibility.numpy() for i in range(12)])
    assert (flags == HIDDEN).mean() > 0.8
    assert not (flags == UNLABELLED).any()


def test_the_probability_is_fitted_to_the_annotated_flags(world: Any) -> None:
    """A keypoint that is to be found though hidden is not visible for that."""
    flags = np.array([HIDDEN, VISIBLE, VISIBLE, VISIBLE], np.uint8)
    samples = [dataclasses.replace(sample, visibility=flags) for sample in world.dataset.samples]
    backend = TorchBackend(SimpleNamespace(model=world.model, spec=world.spec))  # type: ignore[arg-type]
    detector = Detector.from_backend(world.spec, backend)
    data = dataclasses.replace(world.dataset, samples=samples, marks_hidden=True, counts_hidden=True)
    seen = observe(detector, data, world.photos)
    assert (seen.keypoint == 0).any()
    assert not seen.visible[seen.keypoint == 0].any()

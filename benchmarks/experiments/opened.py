"""The model of a run as its test takes it: calibrated as declared, with the test's occluders."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from coke_edge.benchmarks.experiments.definition import Run
from coke_edge.benchmarks.experiments.places import Places
from coke_edge.detector import Detector
from coke_edge.manifest import ModelSpec
from coke_edge.train.accelerator import chosen, open_backend
from coke_edge.train.checkpoint import Checkpoint, load_checkpoint
from coke_edge.train.data import load_dataset
from coke_edge.train.occluder_overlap import refuse_training_occluders
from coke_edge.train.occluders import Occluders
from coke_edge.train.visibility import calibrate


class Opened(NamedTuple):
    """What a test needs beside its images."""

    checkpoint: Checkpoint
    detector: Detector
    occluders: Occluders | None


def open_run(run: Run, where: Places, folder: Path) -> Opened:
    """The model in the run folder `folder`.

    Raises CokeError if there is none, if the data cannot be used, or if it was trained with the test's occluders.
    """
    occluders = None
    if run.test.occluders is not None:
        occluders = Occluders(where.located(run.test.occluders))
        refuse_training_occluders(occluders.folder, str(folder))
    checkpoint = load_checkpoint(folder)
    precision, device = chosen()
    checkpoint.model.to(device)  # the calibration, too, runs where the test does
    checkpoint.spec = calibrated(checkpoint, run, where)
    detector = Detector.from_backend(checkpoint.spec, open_backend(checkpoint, precision, device))
    return Opened(checkpoint, detector, occluders)


def calibrated(checkpoint: Checkpoint, run: Run, where: Places) -> ModelSpec:
    """The model's specification with P(visible) fitted anew, as the training does at its end.

    So that a better fit needs no other training: `run --retest`.
    """
    spec, split = checkpoint.spec, run.test.calibrated_on
    if split == "train":
        size = msgspec.structs.replace(spec.input, box_margin=checkpoint.recipe.box_margin)
        spec = msgspec.structs.replace(spec, input=size)
    dataset = load_dataset(where.located(run.training.data), split)
    rule = run.test.rule or spec.head.rule
    fitted, _ = calibrate(checkpoint.model, spec, dataset, seed=checkpoint.recipe.seed, rules=(rule,))
    return fitted

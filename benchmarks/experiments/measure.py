"""The test of a trained model, in a process of its own: `python -m coke_edge.benchmarks.experiments.measure`.

It takes the definition of a run as a file, so that what is measured is what was declared when it was started.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from coke_edge.benchmarks import environment
from coke_edge.benchmarks.experiments.definition import Run
from coke_edge.benchmarks.experiments.places import Places
from coke_edge.benchmarks.experiments.result import Level, Result, Trained, write_result
from coke_edge.errors import CokeError
from coke_edge.train.metrics import USUAL_THRESHOLD

if TYPE_CHECKING:
    from coke_edge.train.checkpoint import Checkpoint

KEPT = (
    *("objects", "keypoints", "covered", "normaliser", "pck", "left_right_forgiven", "keypoint_mean"),
    *("covered_auroc", "visibility_auroc", "unmet", "covered_pck"),
)


def measure(run: Run, where: Places, folder: Path) -> Result:
    """Every part of the run's test at every level, with the model in `folder`; a part without objects has no figures.

    Raises CokeError as `open_run` does, and if the training in `folder` has not come to its end.
    """
    from coke_edge.benchmarks.experiments.opened import open_run
    from coke_edge.train.data import load_dataset
    from coke_edge.train.data.sample import NoObjects
    from coke_edge.train.robustness import evaluate_levels

    start = time.monotonic()
    epochs, seconds = took(folder)
    checkpoint, detector, occluders = open_run(run, where, folder)
    figures: dict[str, dict[str, Level]] = {}
    for part, data in run.test.parts.items():
        figures[part] = {}
        with suppress(NoObjects):
            dataset = load_dataset(where.located(data), "test")
            found = evaluate_levels(
                detector, dataset, run.test.levels, occluders, run.test.seed, progress=False
            )
            figures[part] = {one.level: level(one.to_json()) for one in found}
    return Result(
        run=run,
        digest=run.digest,
        trained=trained(checkpoint, epochs, seconds),
        figures=figures,
        test_seconds=round(time.monotonic() - start, 1),
        machine=machine(),
        versions=environment.versions(),
        taken=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def level(figures: dict[str, Any]) -> Level:
    """What is kept of an evaluation at one level."""
    usual = USUAL_THRESHOLD[figures["normaliser"]]
    return Level(
        **{name: figures[name] for name in KEPT},
        per_keypoint={name: one["pck"][usual] for name, one in figures["per_keypoint"].items()},
        per_category={name: one["keypoint_mean"][usual] for name, one in figures["per_category"].items()},
        object_share=figures["object_share"]["mean"],
    )


def took(folder: Path) -> tuple[int, float]:
    """Epochs and seconds of the training in `folder`. Raises CokeError if it has not come to its end."""
    from coke_edge.train.checkpoint import read_checkpoint

    progress = read_checkpoint(folder / "last.safetensors")[1].progress
    if not progress.get("finished"):
        raise CokeError(f"the training in {folder} has not come to its end: run the experiment again")
    return int(progress["epoch"]), float(progress["seconds"])


def trained(checkpoint: Checkpoint, epochs: int, seconds: float) -> Trained:
    """The summary of a training."""
    objects = int(checkpoint.training["images"])
    measured = checkpoint.training.get("val_pck", {})
    return Trained(
        objects=objects,
        steps=epochs * max(1, objects // checkpoint.recipe.batch_size),
        epochs=epochs,
        seconds=round(seconds, 1),
        val_pck={key: None if value is None else round(value, 4) for key, value in measured.items()},
        parameters=sum(parameter.numel() for parameter in checkpoint.model.parameters()),
        rule=checkpoint.spec.head.rule,
        box_margin=checkpoint.spec.input.box_margin,
        null_class=checkpoint.recipe.presence > 0,
    )


def machine() -> dict[str, Any]:
    """Processor, cores and GPU."""
    about = environment.host()
    return {"cpu": about["cpu"], "cores": about["cores"], "gpu": environment.torch_gpu().get("name")}


def main(arguments: list[str] | None = None) -> int:
    """Measure the run of a definition file, and write its result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("definition", type=Path, help="JSON file of a run")
    parser.add_argument("--data", help="folder that holds all data sets")
    parser.add_argument("--generated", required=True, help="folder of generated data sets")
    parser.add_argument("--trained", type=Path, required=True, help="run folder of its training")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the result")
    given = parser.parse_args(arguments)

    from coke_edge.train.cpu import prepare_cpu

    prepare_cpu()
    try:
        run = msgspec.json.decode(given.definition.read_bytes(), type=Run)
        write_result(given.out, measure(run, Places(given.data, given.generated), given.trained))
    except CokeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

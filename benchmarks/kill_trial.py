"""Whether a run survives `kill -9`: `python -m coke_edge.benchmarks.kill_trial [--times 50]`.

A small training on generated pictures is killed at random moments, about every second time while a file is half
written, and resumed each time, until it ends. What it leaves behind is then held, bit by bit, against an undisturbed
run: both checkpoints, metrics.csv, TensorBoard's values and the pictures; the time that each took is left out. If it
ends before it has been killed often enough, another one begins. Prints one JSON object; the exit code is 1 if anything
differs.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from coke_edge.files import name_of_whole

EPOCHS = 40
PICTURES = 12  # 80 % of them to train on
LAST, BEST = "last.safetensors", "best.safetensors"
LONGEST = 120.0  # s, for a life that neither ends nor writes


def train(data: str, folder: Path, epochs: int) -> None:
    """Start the run in `folder`, or go on with it, and train to the end; one thread, so that lives are alike."""
    import torch

    from coke_edge.train.recipe import make_recipe
    from coke_edge.train.run import continue_run, start_run

    torch.set_num_threads(1)
    if (folder / LAST).exists():
        continue_run(folder, accelerator="cpu").fit()
        return
    recipe = make_recipe(
        "tiny",
        backbone="test_efficientnet",
        pretrained="none",
        width=64,
        height=64,
        channels=16,
        clutter_size=64,
        epochs=epochs,
        batch_size=4,
        scale=0.0,
        rule="log_odds",
        eval_every=2,
        workers=0,
    )
    start_run(recipe, data, folder, accelerator="cpu").fit()


class Trial:
    """Lives and deaths of one run after the other; counts what each death has found it doing."""

    def __init__(self, root: Path, epochs: int, seed: int) -> None:
        from coke_edge.train.data.generated import write_generated

        self.root, self.epochs = root, epochs
        self.data = f"coco:{write_generated(root / 'data', count=PICTURES, seed=0)}"
        self.rng = np.random.default_rng(seed)
        # A fork of a process that has torch loaded begins at once, not after seconds.
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["coke_edge.train.run", "torch.utils.tensorboard"])
        self.deaths: Counter[str] = Counter()
        self.differences: list[str] = []
        self.runs = 0

    def run(self, times: int) -> dict[str, Any]:
        """Kill so many times; the report."""
        start = time.monotonic()
        undisturbed = self.root / "undisturbed"
        seconds = self.whole_life(undisturbed)
        while sum(self.deaths.values()) < times:
            self.runs += 1
            folder = self.root / f"disturbed{self.runs}"
            # Twice the mean of what a life may do if one run is to take all the deaths.
            longest = 2 * seconds / times + 1.0
            while sum(self.deaths.values()) < times and self.killed(folder, longest):
                pass
            self.whole_life(folder)
            self.differences += [f"run {self.runs}: {what}" for what in compare(undisturbed, folder)]
        return {
            "kills": sum(self.deaths.values()),
            "found": dict(sorted(self.deaths.items())),
            "runs": self.runs,
            "epochs": self.epochs,
            "differences": self.differences,
            "seconds": round(time.monotonic() - start, 1),
        }

    def whole_life(self, folder: Path) -> float:
        """Train in `folder` to the end; seconds."""
        start = time.monotonic()
        process = self.born(folder)
        process.join()
        if process.exitcode:
            raise RuntimeError(f"the training in {folder} has failed with {process.exitcode}: it says why")
        return time.monotonic() - start

    def killed(self, folder: Path, longest: float) -> bool:
        """Let a life go on for at most so many seconds, or until it writes, and kill it; False if it ended before."""
        before = half_written(folder)  # left by an earlier death
        process = self.born(folder)
        if self.rng.random() < 0.5:
            self.wait_for_half_written_file(process, folder, before)
        else:
            process.join(self.rng.uniform(0, longest))
        process.kill()
        process.join()
        if process.exitcode == 0:
            return False
        if process.exitcode != -9:
            raise RuntimeError(f"the training in {folder} has failed with {process.exitcode}: it says why")
        self.deaths[found(folder, before)] += 1
        return True

    def born(self, folder: Path) -> BaseProcess:
        """A process that trains in `folder`."""
        process = self.context.Process(target=train, args=(self.data, folder, self.epochs))
        process.start()
        return process

    def wait_for_half_written_file(self, process: BaseProcess, folder: Path, before: set[str]) -> None:
        """Return a moment after a file has begun to be written: one of the first six, each as likely."""
        until = time.monotonic() + LONGEST
        seen = set(before)
        for _ in range(int(self.rng.integers(1, 7))):
            while not (new := half_written(folder) - seen):
                if not process.is_alive() or time.monotonic() > until:
                    return
                time.sleep(2e-4)
            seen |= new
        time.sleep(self.rng.uniform(0, 2e-3))


def half_written(folder: Path) -> set[str]:
    """Names of the files in `folder` that are not yet whole."""
    return {path.name for path in folder.glob(".*") if name_of_whole(path.name)}


def found(folder: Path, before: set[str]) -> str:
    """What a killed life was doing, by what it has left."""
    if names := half_written(folder) - before:
        return f"writing {min(names).split('.')[1]}"
    return "between two writes" if (folder / LAST).exists() else "before the first checkpoint"


def compare(expected: Path, folder: Path) -> list[str]:
    """What differs between two run folders."""
    parts = {
        LAST: lambda run: checkpoint(run / LAST),
        BEST: lambda run: checkpoint(run / BEST),
        "metrics.csv": rows,
        "tensorboard": scalars,
        "pictures": pictures,
        "half-written files": half_written,
    }
    return [name for name, read in parts.items() if read(expected) != read(folder)]


def checkpoint(path: Path) -> Any:
    """Tensors as bytes and the description of a checkpoint, without its times."""
    import msgspec

    from coke_edge.train.checkpoint import read_checkpoint

    tensors, description = read_checkpoint(path)
    plain = msgspec.to_builtins(description)
    for part in (plain["training"], plain["progress"]):
        part.pop("seconds", None)
    return {name: (str(t.dtype), t.shape, t.numpy().tobytes()) for name, t in tensors.items()}, plain


def rows(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without its times."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows: (step, value) of every curve but the times."""
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        EventAccumulator,
    )

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it says that a run went on, which is the point
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    names = [name for name in events.Tags()["scalars"] if name != "seconds"]
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}


def pictures(folder: Path) -> dict[str, bytes]:
    """The contact sheets by name."""
    return {path.name: path.read_bytes() for path in (folder / "pictures").iterdir()}


def trial(times: int, epochs: int = EPOCHS, seed: int = 0) -> dict[str, Any]:
    """Kill a run so many times, in a folder that is gone afterwards; the report."""
    with tempfile.TemporaryDirectory() as folder:
        return Trial(Path(folder), epochs, seed).run(times)


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=50, help="how often to kill")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the run that is killed")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    report = trial(arguments.times, arguments.epochs, arguments.seed)
    print(json.dumps(report, indent=2))
    sys.exit(bool(report["differences"]))


if __name__ == "__main__":
    main()

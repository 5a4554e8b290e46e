"""The folder of a run: its checkpoints, and what a process that was killed has left in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from coke_edge.errors import CokeError
from coke_edge.files import name_of_whole
from coke_edge.manifest import ModelSpec
from coke_edge.train.checkpoint import Checkpoint, Description, load_checkpoint, save_checkpoint
from coke_edge.train.data.sample import KeypointDataset
from coke_edge.train.lineage import Stage, summary_of
from coke_edge.train.recipe import Recipe
from coke_edge.train.state import TrainState, prefixed

OUTPUT = re.compile(r"(best|last)\.safetensors|metrics\.csv|recipe\.yaml|epoch\d{4,}\.jpg")


class RunFolder:
    """best.safetensors, last.safetensors, metrics.csv, tensorboard/ and pictures/ of one run."""

    def __init__(
        self,
        path: Path,
        spec: ModelSpec,
        recipe: Recipe,
        data: KeypointDataset,
        earlier: Sequence[Stage] = (),
    ) -> None:
        self.path = path
        self.spec, self.recipe, self.data = spec, recipe, data
        self.earlier = earlier  # what the model that this run started from was trained on

    @property
    def last(self) -> Path:
        """The whole state, for resuming."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """The averaged weights of the best validation, for export and evaluation."""
        return self.path / "best.safetensors"

    @property
    def pictures(self) -> Path:
        """Contact sheets of the validations."""
        return self.path / "pictures"

    def prepare(self) -> None:
        """Make it, before any time is spent on training; raises CokeError if it cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / "metrics.csv").touch()
            for leftover in self.leftovers():
                leftover.unlink()
        except OSError as error:
            raise CokeError(
                f"cannot write into the run folder {self.path}: {error.strerror}; choose another --out"
            ) from None

    def leftovers(self) -> Iterator[Path]:
        """What an earlier process of this run has left half-written; the folder may hold files of others."""
        for path in [*self.path.glob(".*"), *self.pictures.glob(".*")]:
            whole = name_of_whole(path.name)
            if whole and OUTPUT.fullmatch(whole):
                yield path

    def save_last(self, state: TrainState) -> None:
        """Write the whole state."""
        state.save(self.last, self.spec, self.recipe, self.training_summary(state))

    def save_best(self, state: TrainState, figures: dict[str, Any]) -> None:
        """Write the averaged weights with their figures."""
        tensors = prefixed("model.", state.best_guess.state_dict())
        training = {**self.training_summary(state), **figures}
        save_checkpoint(self.best, tensors, Description(self.spec, self.recipe, training))

    def load_best(self) -> Checkpoint:
        """The best weights so far."""
        return load_checkpoint(self.best)

    def save_calibrated(self, best: Checkpoint, spec: ModelSpec, figures: dict[str, Any]) -> None:
        """Write the best weights again, with the specification that calibration has found."""
        tensors = prefixed("model.", best.model.state_dict())
        training = {**best.training, "calibration": figures}
        save_checkpoint(self.best, tensors, Description(spec, self.recipe, training))

    def training_summary(self, state: TrainState) -> dict[str, Any]:
        """What a checkpoint says of its making."""
        return {
            "data": self.data.name,
            "images": len(self.data.samples),
            "epochs": state.progress.epoch,
            "seconds": round(state.progress.seconds, 1),
            "torch": str(torch.__version__),
            **summary_of(self.earlier),
        }

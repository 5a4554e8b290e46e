"""All that a run is at one moment, to and from one checkpoint file, so that resuming continues exactly."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coke_edge.errors import BundleError, CokeError
from coke_edge.manifest import ModelSpec
from coke_edge.train.average import AveragedModel
from coke_edge.train.checkpoint import Description, read_checkpoint, save_checkpoint
from coke_edge.train.method import Method
from coke_edge.train.recipe import Recipe


@dataclasses.dataclass
class Progress:
    """Where a run stands; all that resuming needs beside the tensors."""

    epoch: int = 0  # epochs done
    batch: int = 0  # batches done of the next epoch
    best_pck: float = -1.0
    stale: int = 0  # validations since the best one
    seconds: float = 0.0  # of training so far
    finished: bool = False  # calibrated and written
    losses: list[float] = dataclasses.field(default_factory=list)  # of the next epoch, summed …
    summed: int = 0  # … over so many batches

    def reported(self) -> dict[str, Any]:
        """What is worth telling: all but the losses of an epoch that is not over."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in ("losses", "summed")}

    def add(self, losses: list[float]) -> None:
        """One more batch, with its losses."""
        # None so far, or fewer: a run that an older version began has no part that has come since.
        sums = self.losses + [0.0] * (len(losses) - len(self.losses))
        self.losses = [a + b for a, b in zip(sums, losses, strict=True)]
        self.summed += 1
        self.batch += 1

    def end_epoch(self) -> list[float]:
        """The epoch is done: the mean losses of its batches."""
        mean = [value / self.summed for value in self.losses]
        self.epoch, self.batch, self.losses, self.summed = self.epoch + 1, 0, [], 0
        return mean


class TrainState:
    """The model, its averaged copy, the optimiser, and how far they have come."""

    def __init__(self, model: Method, optimizer: torch.optim.Optimizer, decay: float) -> None:
        self.model = model
        self.optimizer = optimizer
        self.averaged = AveragedModel(model, decay)
        self.progress = Progress()

    @property
    def best_guess(self) -> Method:
        """The averaged model: what is validated, kept and exported."""
        return self.averaged.module

    def save(self, path: Path, spec: ModelSpec, recipe: Recipe, training: dict[str, Any]) -> None:
        """Write everything to `path`, whole or not at all."""
        tensors = {
            **prefixed("model.", self.best_guess.state_dict()),
            **prefixed("plain.", self.model.state_dict()),
            "averaged.steps": torch.tensor(self.averaged.steps),
            **flatten_optimizer(self.optimizer, self.model),
        }
        save_checkpoint(path, tensors, Description(spec, recipe, training, dataclasses.asdict(self.progress)))

    def restore(self, path: Path, recipe: Recipe, images: int) -> None:
        """Take up where `save` left off.

        Raises CokeError if the file belongs to another recipe, or to another number of training images.
        """
        tensors, description = read_checkpoint(path)
        if not description.progress:
            raise BundleError(f"{path} holds weights only; resume from the run's last.safetensors")
        different = [
            f"{name} {getattr(description.recipe, name)} → {getattr(recipe, name)}"
            for name in recipe.__struct_fields__
            if getattr(description.recipe, name) != getattr(recipe, name)
        ]
        if different:
            raise CokeError(
                f"a run resumes only with its own recipe, but this one changes {', '.join(different)}"
            )
        begun_on = description.training.get("images", images)  # older checkpoints do not say
        if begun_on != images:
            raise CokeError(
                f"this run was begun on {begun_on} training images, but the data set has {images} now: restore it, "
                "or begin a new run"
            )
        try:
            self.model.load_state_dict(unprefixed("plain.", tensors))
            self.best_guess.load_state_dict(unprefixed("model.", tensors))
        except RuntimeError as error:
            raise BundleError(
                f"the weights in {path} do not fit the data set's keypoints: has it changed since the run began?"
            ) from error
        self.averaged.steps = int(tensors["averaged.steps"])
        restore_optimizer(self.optimizer, self.model, tensors)
        self.progress = Progress(**description.progress)


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under longer names."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def unprefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of the tensors whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def flatten_optimizer(optimizer: torch.optim.Optimizer, model: Method) -> dict[str, Tensor]:
    """The optimiser's tensors by the names of their parameters; its settings come from the recipe."""
    return {
        f"optimizer.{name}.{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, model: Method, tensors: dict[str, Tensor]) -> None:
    """Inverse of `flatten_optimizer`. Raises BundleError if a tensor does not fit its parameter.

    Files of before have numbers instead of names, in an order that has changed since for models with hidden maps.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = {parameter: i for i, parameter in enumerate(parameters)}
    by_name = {name: numbers[p] for name, p in model.named_parameters() if p in numbers}
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in unprefixed("optimizer.", tensors).items():
        name, key = path.rsplit(".", 1)
        number = int(name) if name.isdigit() else by_name[name]
        if tensor.ndim and tensor.shape != parameters[number].shape:
            raise BundleError(
                "the run was begun by another version of coke-edge: finish it there, or begin a new one"
            )
        state.setdefault(number, {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    # The fused optimiser pairs numbers by their place in memory, and a file knows one layout only.
    for parameter, entry in optimizer.state.items():
        for key, value in entry.items():
            if value.shape == parameter.shape:
                entry[key] = torch.empty_like(parameter).copy_(value)

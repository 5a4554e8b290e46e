"""What a run needs before its first step: the network and where it starts, its folder, its validation, its loader."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from torch.utils.data import DataLoader

from coke_edge.train.batch import Batch
from coke_edge.train.crops import Crops, first_images, make_loader
from coke_edge.train.data.sample import KeypointDataset
from coke_edge.train.initial_spec import initial_spec, rules_tried
from coke_edge.train.lineage import earlier_stages
from coke_edge.train.method import Method
from coke_edge.train.methods import create_model
from coke_edge.train.processes import Processes
from coke_edge.train.recipe import Recipe
from coke_edge.train.run_folder import RunFolder
from coke_edge.train.schedule import make_optimizer
from coke_edge.train.state import TrainState
from coke_edge.train.validation import Validation
from coke_edge.train.warm_start import warm_start

logger = logging.getLogger(__name__)


class Prepared(NamedTuple):
    """The parts of a run, on this process's device."""

    files: RunFolder
    validation: Validation
    state: TrainState
    loader: DataLoader[Batch]


def prepare(
    recipe: Recipe,
    train: KeypointDataset,
    val: KeypointDataset,
    folder: Path,
    processes: Processes,
    *,
    resume: bool,
) -> Prepared:
    """A new run, or with `resume` the one in `folder` as it was saved; the folder is made when all else is in order.

    Raises CokeError if what the recipe names is not there or does not fit, or if the folder cannot be written.
    """
    processes.fabric.seed_everything(recipe.seed, verbose=False)
    device = processes.fabric.device
    # A run that goes on has its weights already: where they once came from need not be there any more.
    named = msgspec.structs.replace(recipe, pretrained="none") if resume else recipe
    model = create_model(named, len(train.keypoints.names))
    rules = rules_tried(recipe, model)
    # On its device before the optimiser and its restored state, which Fabric does not move.
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    spec = initial_spec(recipe, model, train)
    crops = Crops(train, recipe, spec.input)
    if recipe.start and not resume:
        start_from(recipe.start, model, crops, train.keypoints.names, told=processes.first)
    last = folder / "last.safetensors" if resume else None
    files = RunFolder(folder, spec, recipe, train, earlier_stages(recipe.start, last))
    validation = Validation(val, files, rules, device)
    state = TrainState(model, make_optimizer(model, recipe), recipe.ema)
    if resume:
        state.restore(files.last, recipe, len(train.samples))
    loader = make_loader(crops, recipe, processes.rank, processes.count)
    if processes.first:
        files.prepare()
    return Prepared(files, validation, state, loader)


def start_from(start: str, model: Method, crops: Crops, keypoints: tuple[str, ...], *, told: bool) -> None:
    """Load the weights of a trained model; with `told`, a warning names the keypoints that it does not know."""
    fresh = warm_start(model, start, keypoints, lambda: first_images(crops))
    if fresh and told:
        logger.warning("%s does not know %s: learnt from scratch.", start, ", ".join(fresh))

"""From names to a run: data sets loaded, the folder made, the recipe written beside the checkpoints."""

from __future__ import annotations

import dataclasses
import logging
from itertools import count
from pathlib import Path

import msgspec

from coke_edge.errors import CokeError
from coke_edge.files import replacing
from coke_edge.train.checkpoint import read_checkpoint
from coke_edge.train.data import load_dataset
from coke_edge.train.data.sample import KeypointDataset, NoObjects
from coke_edge.train.processes import Processes
from coke_edge.train.recipe import Recipe
from coke_edge.train.trainer import Trainer, Watcher

logger = logging.getLogger(__name__)


def start_run(
    recipe: Recipe,
    data: str,
    folder: Path | None = None,
    *,
    devices: int = 1,
    accelerator: str = "auto",
    watcher: Watcher | None = None,
) -> Trainer:
    """A new run on the train and val splits of `data`, in an empty folder.

    Raises CokeError if the folder holds a run already, the data cannot be loaded, or another process is lost.
    """
    processes = Processes(devices, accelerator)
    with processes.meeting():
        with processes.together():
            if processes.first:
                folder = folder or fresh_folder(Path("runs"))
                require_empty(folder)
        folder = processes.from_first(folder)
        assert folder is not None
        with processes.together():
            train, val = load_splits(data, processes)
        recipe = fitting(recipe, train, say=processes.first)
        trainer = Trainer(recipe, train, val, folder, watcher=watcher, processes=processes)
        with processes.together():
            if processes.first:
                with replacing(folder / "recipe.yaml") as file:
                    file.write(msgspec.yaml.encode(recipe))
        return trainer


def continue_run(
    folder: Path, *, devices: int = 1, accelerator: str = "auto", watcher: Watcher | None = None
) -> Trainer:
    """The run in `folder` (or of a checkpoint in it), exactly where it stopped.

    Raises CokeError if there is none, its data has changed, or another process is lost.
    """
    processes = Processes(devices, accelerator)
    with processes.meeting():
        with processes.together():
            folder = folder.parent if folder.is_file() else folder
            _, description = read_checkpoint(folder / "last.safetensors")
            train, val = load_splits(str(description.training["data"]), processes)
        recipe = description.recipe
        return Trainer(recipe, train, val, folder, resume=True, watcher=watcher, processes=processes)


def load_splits(data: str, processes: Processes) -> tuple[KeypointDataset, KeypointDataset]:
    """The train and val splits of `data`; val may be empty, as for a single image, which is for training."""
    train = load_dataset(data, "train")
    try:
        return train, load_dataset(data, "val")
    except NoObjects as error:
        if processes.first:
            logger.warning("Training without validation: %s.", error)
        return train, dataclasses.replace(train, split="val", samples=[])


def fitting(recipe: Recipe, train: KeypointDataset, say: bool) -> Recipe:
    """The recipe without `placement` where hidden keypoints count: they are found like visible ones then."""
    if not (train.counts_hidden and recipe.placement):
        return recipe
    if say:
        logger.warning(
            "Hidden keypoints count in this data set and are found like visible ones: no placement."
        )
    return msgspec.structs.replace(recipe, placement=0.0)


def require_empty(folder: Path) -> None:
    """Raises CokeError if a run has been saved there."""
    if (folder / "last.safetensors").exists():
        raise CokeError(
            f"{folder} holds a run already: continue it with --resume {folder}, or choose another --out"
        )


def fresh_folder(parent: Path) -> Path:
    """The first of parent/1, parent/2, … that does not exist."""
    return next(folder for n in count(1) if not (folder := parent / str(n)).exists())

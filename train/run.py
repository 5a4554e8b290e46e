"""From names to a run: data sets loaded, the folder made, the recipe written beside the checkpoints."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import msgspec

from coke_edge.errors import CokeError
from coke_edge.files import replacing
from coke_edge.train.checkpoint import read_checkpoint
from coke_edge.train.data import load_dataset
from coke_edge.train.recipe import Recipe
from coke_edge.train.trainer import Trainer, Watcher


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

    Raises CokeError if the folder holds a run already or the data cannot be loaded.
    """
    folder = folder or fresh_folder(Path("runs"))
    if (folder / "last.safetensors").exists():
        raise CokeError(
            f"{folder} holds a run already: continue it with --resume {folder}, or choose another --out"
        )
    train, val = load_dataset(data, "train"), load_dataset(data, "val")
    trainer = Trainer(recipe, train, val, folder, devices=devices, accelerator=accelerator, watcher=watcher)
    with replacing(folder / "recipe.yaml") as file:
        file.write(msgspec.yaml.encode(recipe))
    return trainer


def continue_run(
    folder: Path, *, devices: int = 1, accelerator: str = "auto", watcher: Watcher | None = None
) -> Trainer:
    """The run in `folder` (or of a checkpoint in it), exactly where it stopped. Raises CokeError if there is none."""
    folder = folder.parent if folder.is_file() else folder
    _, description = read_checkpoint(folder / "last.safetensors")
    data = str(description.training["data"])
    train, val = load_dataset(data, "train"), load_dataset(data, "val")
    return Trainer(
        description.recipe,
        train,
        val,
        folder,
        resume=True,
        devices=devices,
        accelerator=accelerator,
        watcher=watcher,
    )


def fresh_folder(parent: Path) -> Path:
    """The first of parent/1, parent/2, … that does not exist."""
    return next(folder for n in count(1) if not (folder := parent / str(n)).exists())

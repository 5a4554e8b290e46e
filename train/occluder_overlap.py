"""Whether a model is about to be tested with the occluders that it was trained with."""

from __future__ import annotations

from pathlib import Path

from coke_edge.bundle import Bundle
from coke_edge.errors import DataError
from coke_edge.train.checkpoint import read_checkpoint
from coke_edge.train.occluders import OccluderFolder


def refuse_training_occluders(test: OccluderFolder, model: str) -> str | None:
    """Raise DataError if the recipe of `model` names a folder (or part of one) that shares images with `test`.

    Returns a warning where the folders only have the same name: a bundle does not know where the folder was, and one
    named without its full path may be another today. None if they differ, or if the training images themselves were
    cut up, which are no folder of occluders.
    """
    recorded, is_bundle = recorded_occluders(model)
    if recorded is None:
        return None
    training = OccluderFolder.parse(recorded)
    if not is_bundle and test.shares_images_with(training):
        raise DataError(
            f"{model} was trained with occluders from {recorded}, so it knows images of the folder that is to test it: "
            "give another, or train with 'FOLDER?part=train' and test with 'FOLDER?part=test'"
        )
    namesake = training._replace(folder=test.folder.with_name(training.folder.name))
    if not test.shares_images_with(namesake):
        return None
    return (
        f"{model} was trained with occluders from a folder called {training.folder.name}: if it holds the same images, "
        "these figures flatter the model"
    )


def recorded_occluders(model: str) -> tuple[str | None, bool]:
    """The recipe's `occluder_images`, and whether `model` is a bundle, which has the last word of the path alone."""
    path = Path(model)
    if path.suffix == ".safetensors" or path.is_dir():
        file = path / "best.safetensors" if path.is_dir() else path
        return read_checkpoint(file)[1].recipe.occluder_images, False
    recipe = Bundle(model).manifest.training.get("recipe")
    recorded = recipe.get("occluder_images") if isinstance(recipe, dict) else None
    return (recorded if isinstance(recorded, str) else None), True

"""Whether a model is about to be tested with occluders that it was trained with: cut from images that it has seen.

A training sees its occluders and its own images, of which the clutter bank holds features; where the recipe names no
folder, they are what its occluders are cut from, too. All this holds for the trainings that a model started from, as
well (train/lineage.py).
"""

from __future__ import annotations

from pathlib import Path

from coke_edge.bundle import names_bundle
from coke_edge.errors import CokeError, DataError
from coke_edge.train.data import load_dataset
from coke_edge.train.data.spec import parse_spec
from coke_edge.train.lineage import UNKNOWN, Stage, stages_of
from coke_edge.train.occluders import OccluderFolder

HALVES = "give another folder, or train with 'FOLDER?part=train' and test with 'FOLDER?part=test'"
FLATTERED = "if it holds the same images, these figures flatter the model"


def refuse_training_occluders(test: OccluderFolder, model: str) -> str | None:
    """Raise DataError if a training of `model` took occluders from a folder that shares images with `test`, or if an
    image of `test` is one of its training images.

    Returns a warning where only names agree: a bundle does not know where a folder was, one named without its full path
    may be another today, and training images that are elsewhere now cannot be compared; or where nothing is recorded of
    a training. None if nothing agrees.
    """
    stages, is_bundle = recorded_stages(model)
    found: list[str] = []
    for stage in stages:
        if not is_bundle:
            refuse_same_folder(test, model, stage)
        seen = None if is_bundle else training_images(stage)
        if seen is not None:
            refuse_same_images(test, model, stage, seen)
        elif has_name_of(test, stage):
            found.append(
                f"{model} was trained on {stage.data}, and {test.folder} has a name of it: {FLATTERED}"
            )
        if is_namesake(test, stage):
            name = OccluderFolder.parse(stage.occluder_images or "").folder.name
            found.append(f"{model} was trained with occluders from a folder called {name}: {FLATTERED}")
    if UNKNOWN in stages:
        found.append(
            f"{model} does not say what all of its trainings saw, so {test.folder} could not be compared: {FLATTERED}"
        )
    return found[0] if found else None


def recorded_stages(model: str) -> tuple[list[Stage], bool]:
    """The trainings of `model`, and whether it is a bundle, which has the last word of every path alone."""
    return stages_of(model), names_bundle(model)


def refuse_same_folder(test: OccluderFolder, model: str, stage: Stage) -> None:
    """Raise DataError if the stage's occluders are from images of `test`."""
    recorded = stage.occluder_images
    if recorded is not None and test.shares_images_with(OccluderFolder.parse(recorded)):
        raise DataError(
            f"{model} was trained with occluders from {recorded}, so it knows images of the folder that is to test it: "
            f"{HALVES}"
        )


def refuse_same_images(test: OccluderFolder, model: str, stage: Stage, seen: set[Path]) -> None:
    """Raise DataError if one of the images of `test` is among those that the stage has seen."""
    files = test.files()
    shared = sum(path.resolve() in seen for path in files)
    if shared:
        raise DataError(
            f"{shared} of the {len(files)} images in {test.folder} are training images of {model} ({stage.data}), so "
            "it knows them: give a folder of other photos"
        )


def training_images(stage: Stage) -> set[Path] | None:
    """The images that a stage was trained on; None if that is not recorded, or not to be read here."""
    try:
        samples = load_dataset(stage.data, "train", require_images=False).samples
    except CokeError:
        return None
    return {sample.image.resolve() for sample in samples}


def is_namesake(test: OccluderFolder, stage: Stage) -> bool:
    """Whether the stage's folder of occluders would be that of `test` if it lay beside it."""
    if stage.occluder_images is None:
        return False
    training = OccluderFolder.parse(stage.occluder_images)
    return test.shares_images_with(training._replace(folder=test.folder.with_name(training.folder.name)))


def has_name_of(test: OccluderFolder, stage: Stage) -> bool:
    """Whether the folder of `test`, or one that it lies in, is called as the stage's data set or its images."""
    try:
        spec = parse_spec(stage.data)
    except DataError:
        return False
    names = {spec.path.name, *(Path(folder).name for folder in spec.parameters.get("images", []))}
    return not names.isdisjoint(test.folder.resolve().parts)

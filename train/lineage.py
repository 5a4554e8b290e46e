"""What a model has learnt from: the data and the occluders of its training and, before it, of those it started from.

A checkpoint whose recipe has `start` carries the weights of another model, and so what that one was trained on. Its
`training` lists these earlier stages under EARLIER, the oldest first; its own stage is in `data` and in the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from coke_edge.bundle import Bundle, names_bundle
from coke_edge.errors import BundleError
from coke_edge.train.checkpoint import read_checkpoint

EARLIER = "earlier"


class Stage(msgspec.Struct, frozen=True):
    """One training."""

    data: str = ""  # the data set's specification; "" where it is not recorded
    occluder_images: str | None = None  # the folder of occluders; None: the training images themselves


UNKNOWN = Stage()  # of which nothing is recorded


def earlier_stages(start: str | None, resumed: Path | None = None) -> list[Stage]:
    """The stages before a run.

    `start` is the recipe's; `resumed` is the last checkpoint of a run that goes on, which knows already: the model that
    it started from need not be there any more. Raises BundleError if a checkpoint is missing or damaged.
    """
    if resumed is not None:
        return stages_of(resumed)[:-1]
    return stages_of(start) if start else []


def summary_of(earlier: Sequence[Stage]) -> dict[str, Any]:
    """What a checkpoint's `training` has of earlier stages: nothing where there are none."""
    return {EARLIER: [msgspec.structs.asdict(stage) for stage in earlier]} if earlier else {}


def stages_of(model: str | Path) -> list[Stage]:
    """The trainings of a checkpoint (a file or a run folder) or a bundle, its own the last.

    A bundle has the last word of every path alone. Raises BundleError if there is no such model.
    """
    if names_bundle(model):
        training = Bundle(model).manifest.training
        recipe = training.get("recipe")
        known = recipe if isinstance(recipe, dict) else {}
        return stages_in(training, known.get("occluder_images"), known.get("start"))
    file = Path(model)
    description = read_checkpoint(file / "best.safetensors" if file.is_dir() else file)[1]
    recipe = description.recipe
    return stages_in(description.training, recipe.occluder_images, recipe.start)


def stages_in(
    training: Mapping[str, Any], occluder_images: str | None, start: str | None = None
) -> list[Stage]:
    """The stages that the `training` of a checkpoint or of a bundle's manifest records, the model's own the last.

    `start` is the recipe's: where it names a model and no earlier stage is recorded, the first is UNKNOWN. Raises
    BundleError if they are of another form.
    """
    try:
        earlier = msgspec.convert(training.get(EARLIER, []), list[Stage])
        if start and not earlier:
            earlier = [UNKNOWN]
        return [*earlier, msgspec.convert({**training, "occluder_images": occluder_images}, Stage)]
    except msgspec.ValidationError as error:
        raise BundleError(f"the model does not say properly what it was trained on ({error})") from error

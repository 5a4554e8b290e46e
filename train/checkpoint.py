"""Checkpoints: one safetensors file, its description as JSON in the header; nothing in it is ever executed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from coke_edge.errors import BundleError
from coke_edge.files import replacing
from coke_edge.manifest import ModelSpec
from coke_edge.train.method import Method
from coke_edge.train.methods import create_model
from coke_edge.train.recipe import BEFORE, Recipe

KEY = "coke_edge"  # of our JSON in the safetensors header


class Description(msgspec.Struct, forbid_unknown_fields=True):
    """What stands in a checkpoint beside its tensors."""

    spec: ModelSpec
    recipe: Recipe
    training: dict[str, Any]  # data, figures, versions: for reports and the model card
    progress: dict[str, Any] = {}  # where a run stands; only in `last.safetensors`


@dataclasses.dataclass
class Checkpoint:
    """A trained model, ready to use: evaluation mode, averaged weights, on the CPU."""

    model: Method
    spec: ModelSpec
    recipe: Recipe
    training: dict[str, Any]


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], description: Description) -> None:
    """Write a checkpoint whole or not at all; raises BundleError if the disk refuses."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # msgspec writes null for NaN, a figure that could not be measured; JSON has no NaN to read back.
    data = save(plain, metadata={KEY: msgspec.json.encode(description, order="sorted").decode()})
    with replacing(path, BundleError) as file:
        file.write(data)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], Description]:
    """The tensors and the description of a checkpoint file.

    Raises BundleError if the file is missing, broken or none of ours.
    """
    if not path.is_file():
        raise BundleError(f"there is no checkpoint {path}; `coke-edge train` writes one into its run folder")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            description = described(metadata[KEY])
            return {name: file.get_tensor(name) for name in file.keys()}, description  # noqa: SIM118 (no dict)
    except (
        SafetensorError,
        KeyError,
        TypeError,
        OSError,
        msgspec.DecodeError,
        msgspec.ValidationError,
    ) as error:
        raise BundleError(
            f"{path} is no checkpoint of this version of coke-edge, or it is damaged ({type(error).__name__})"
        ) from error


def described(text: str) -> Description:
    """A description, also of an older version, whose recipe has fewer keys."""
    plain = msgspec.json.decode(text)
    return msgspec.convert({**plain, "recipe": {**BEFORE, **plain["recipe"]}}, Description)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """The model of a checkpoint file, or of a run folder (its `best.safetensors`).

    Raises BundleError if there is none or its tensors do not fit its recipe.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "best.safetensors"
    tensors, description = read_checkpoint(file)
    tensors = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    offline = msgspec.structs.replace(description.recipe, pretrained="none")
    model = create_model(offline, len(description.spec.keypoints.names))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise BundleError(f"{file} holds weights that do not fit its own recipe; train it again") from error
    model.eval().requires_grad_(False)
    spec = description.spec
    if (
        spec.hidden_maps != model.hidden_maps
    ):  # an older one had such maps for training alone, and P(visible) without
        spec = msgspec.structs.replace(spec, hidden_maps=model.hidden_maps, visibility=None)
    return Checkpoint(model, spec, description.recipe, description.training)

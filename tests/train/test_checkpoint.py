"""Checkpoints: what is read back, those of older versions, and files that are none."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from coke_edge.errors import BundleError
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import InputSpec, Keypoints2D, ModelSpec
from coke_edge.train.checkpoint import KEY, Description, load_checkpoint, read_checkpoint, save_checkpoint
from coke_edge.train.methods import create_model
from coke_edge.train.recipe import BEFORE, make_recipe
from coke_edge.train.state import prefixed

TINY = {"backbone": "test_efficientnet", "pretrained": "none", "width": 64, "height": 64, "channels": 16}
HALF = (0.5, 0.5, 0.5)
SPEC = ModelSpec(
    Keypoints2D(("a", "b")),
    InputSpec(64, 64, 1.0, (0, 0, 0), HALF, HALF),
    8,
    HeadSpec("similarity", 0.07, 0.005),
)


def written(path: Path, **keys: object) -> torch.nn.Module:
    """A checkpoint of an untrained model."""
    recipe = make_recipe(**TINY, **keys)
    model = create_model(recipe, 2).eval()
    tensors = prefixed("model.", model.state_dict())
    save_checkpoint(path, tensors, Description(SPEC, recipe, {"figure": float("nan")}))
    return model


def rewritten(path: Path, change) -> None:
    """The same tensors, under a description that `change` has changed in place."""
    plain = msgspec.json.decode(described(path))
    change(plain)
    save_file(load_file(path), path, metadata={KEY: msgspec.json.encode(plain).decode()})


def described(path: Path) -> str:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return file.metadata()[KEY]


def test_a_model_is_read_back_as_it_was(tmp_path: Path) -> None:
    model = written(tmp_path / "best.safetensors")
    for path in (tmp_path, tmp_path / "best.safetensors"):
        found = load_checkpoint(path)
        assert found.spec == msgspec.structs.replace(SPEC, hidden_maps=True)
        assert found.training == {"figure": None}
        assert not any(p.requires_grad for p in found.model.parameters())
        for name, value in found.model.state_dict().items():
            assert torch.equal(value, model.state_dict()[name])


@pytest.mark.parametrize("method", ["coke", "heatmap"])
def test_a_recipe_that_lacks_a_newer_key_was_trained_without_it(tmp_path: Path, method: str) -> None:
    file = tmp_path / "best.safetensors"
    written(file, method=method, **BEFORE)
    rewritten(file, lambda plain: [plain["recipe"].pop(key) for key in BEFORE])
    found = load_checkpoint(file)
    assert {key: getattr(found.recipe, key) for key in BEFORE} == BEFORE


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain.pop("recipe"),
        lambda plain: plain.update(recipe=None),
        lambda plain: plain.update(recipe=[1]),
        lambda plain: plain["recipe"].update(unknown=1),
        lambda plain: plain["recipe"].update(epochs=0),
        lambda plain: plain.update(spec={}),
        lambda plain: plain.update(more=1),
    ],
)
def test_another_description_is_one_sentence(tmp_path: Path, change) -> None:
    file = tmp_path / "best.safetensors"
    written(file)
    rewritten(file, change)
    with pytest.raises(BundleError, match="no checkpoint of this version"):
        read_checkpoint(file)


@pytest.mark.parametrize("text", ["", "[1]", "3", "null", "{"])
def test_a_header_that_is_no_description_is_one_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(1)}, file, metadata={KEY: text})
    with pytest.raises(BundleError, match="no checkpoint of this version"):
        read_checkpoint(file)


def test_damaged_and_missing_files_are_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "best.safetensors"
    with pytest.raises(BundleError, match="there is no checkpoint"):
        read_checkpoint(file)
    written(file)
    whole = file.read_bytes()
    for cut in (0, 5, 200, len(whole) - 1):
        file.write_bytes(whole[:cut])
        with pytest.raises(BundleError, match="no checkpoint of this version"):
            read_checkpoint(file)


def test_weights_of_another_recipe_do_not_fit(tmp_path: Path) -> None:
    file = tmp_path / "best.safetensors"
    written(file)
    rewritten(file, lambda plain: plain["recipe"].update(channels=24))
    with pytest.raises(BundleError, match="do not fit its own recipe"):
        load_checkpoint(file)

"""`coke-edge export`, from its arguments to the bundle, or to one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from coke_edge.bundle import Bundle
from coke_edge.cli.export import app
from coke_edge.errors import BundleError, CokeError, DataError, ExportError
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import InputSpec, Keypoints2D, ModelSpec
from coke_edge.train.checkpoint import Description, save_checkpoint
from coke_edge.train.model import CokeModel
from coke_edge.train.recipe import Recipe


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a small network of random weights, trained on nothing."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    recipe = Recipe(backbone="test_efficientnet", pretrained="none", channels=16, width=64, height=64)
    model = CokeModel(recipe, 2)
    mean, std = tuple(model.mean.tolist()), tuple(model.std.tolist())
    size = InputSpec(64, 64, 1.2, (120, 120, 120), mean, std)
    spec = ModelSpec(Keypoints2D(("a", "b")), size, 8, HeadSpec("margin", 0.07, 0.005))
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    save_checkpoint(folder / "best.safetensors", tensors, Description(spec, recipe, {}))
    described = Description(spec, recipe, {"data": "lsp:nowhere"})
    save_checkpoint(folder / "lost.safetensors", tensors, described)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(4):
        coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(
            str(folder / f"{number}.png"), cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC)
        )
    return folder


def run(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_export_writes_a_bundle_and_says_how_near_it_is(
    run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "ab.coke"
    result = run(run_folder, "-o", out, "--images", photos, "--count", 3, "--peaks", 2, "--json")
    report = json.loads(result.stdout)
    assert report["gate"]["fp32"]["passed"] is True
    assert report["gate"]["fp32"]["images"] == 3
    assert report["bytes"] == out.stat().st_size
    manifest = Bundle(out).manifest
    assert manifest.model.head.peaks == 2
    assert manifest.gate == msgspec.to_builtins(report["gate"])
    assert "Next: coke-edge detect" in result.stderr
    assert run(run_folder, "-o", out, "--images", photos).stdout.count("passed") == 1


@pytest.mark.parametrize(
    ("file", "options", "error", "sentence"),
    [
        ("best.safetensors", [], ExportError, "--data SPEC or --images DIR"),
        ("lost.safetensors", [], ExportError, "data that cannot be read here .* --data SPEC or --images DIR"),
        ("best.safetensors", ["--data", "lsp:x", "--images", "y"], ExportError, "not on both"),
        ("best.safetensors", ["--data", "lsp:nowhere"], DataError, "nowhere"),
        ("best.safetensors", ["--images", "nowhere"], DataError, "there is no folder nowhere"),
        ("none.safetensors", [], BundleError, "there is no checkpoint"),
    ],
)
def test_mistakes(
    run_folder: Path, tmp_path: Path, file: str, options: list[str], error: type[CokeError], sentence: str
) -> None:
    out = tmp_path / "x.coke"
    with pytest.raises(error, match=sentence):
        run(run_folder / file, "-o", out, *options)
    assert not list(tmp_path.iterdir())

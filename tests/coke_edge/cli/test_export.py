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


def test_the_named_keypoints_alone(run_folder: Path, photos: Path, tmp_path: Path) -> None:
    out, check = tmp_path / "b.coke", ["--images", photos, "--count", 2]
    run(run_folder, "-o", out, "--keypoints", "b", *check)
    assert Bundle(out).manifest.model.keypoints == Keypoints2D(("b",))
    run(run_folder, "-o", tmp_path / "b.onnx", "--format", "onnx", "--keypoints", "b", *check)
    assert json.loads((tmp_path / "b.json").read_text())["keypoints"]["names"] == ["b"]
    with pytest.raises(ExportError, match="give --keypoints when you export its checkpoint"):
        run(out, "-o", tmp_path / "x.onnx", "--format", "onnx", "--keypoints", "b")


def test_other_formats_from_a_checkpoint_and_from_a_bundle(
    run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    check = ["--images", photos, "--count", 2]
    once = run(run_folder, "-o", tmp_path / "ab.onnx", "--format", "onnx", "--json", *check)
    assert json.loads(once.stdout)["gate"]["fp32"]["passed"] is True
    assert f"Wrote {tmp_path / 'ab.onnx'} and {tmp_path / 'ab.json'}" in once.stderr
    bundle = tmp_path / "ab.coke"
    run(run_folder, "-o", bundle, *check)
    again = tmp_path / "again" / "ab.onnx"
    assert run(bundle, "-o", again, "--format", "onnx").stdout == ""
    assert again.read_bytes() == (tmp_path / "ab.onnx").read_bytes()
    run(bundle, "-o", tmp_path / "models", "--format", "triton-server")
    assert (tmp_path / "models" / "ab" / "config.pbtxt").is_file()
    run(run_folder, "-o", tmp_path / "models", "--format", "triton-server", *check)
    assert (tmp_path / "models" / run_folder.name / "1" / "model.onnx").is_file()
    run("demo", "-o", tmp_path / "demo.onnx", "--format", "onnx")
    assert (tmp_path / "demo.json").is_file()
    with pytest.raises(BundleError, match=r"has no model\.fp16\.onnx"):
        run(bundle, "-o", tmp_path / "x.onnx", "--format", "onnx", "--precision", "fp16")


def test_from_a_bundle_to_another_one(run_folder: Path, photos: Path, tmp_path: Path) -> None:
    first, second, check = tmp_path / "ab.coke", tmp_path / "b.coke", ["--images", photos, "--count", 2]
    run(run_folder, "-o", first, *check)
    run(first, "-o", second, "--precision", "fp16", "--keypoints", "b", *check)
    assert {"model.fp32.onnx", "model.fp16.onnx"} <= set(Bundle(second).manifest.entries)
    assert Bundle(second).manifest.model.keypoints.names == ("b",)
    with pytest.raises(ExportError, match="does not record what it was trained on; name images"):
        run(first, "-o", second)


def test_a_graph_that_fails_the_gate_is_left_out(
    run_folder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coke_edge.export import variants, verdict

    strict = {**verdict.LIMITS, "fp16": msgspec.structs.replace(verdict.LIMITS["fp16"], response=0.0)}
    monkeypatch.setattr(variants, "LIMITS", strict)
    out = tmp_path / "ab.coke"
    arguments = [run_folder, "-o", out, "--images", photos, "--precision", "fp32,fp16"]
    with pytest.raises(ExportError, match=r"left out because they failed the gate: fp16 .*--allow") as caught:
        run(*arguments)
    assert caught.value.exit_code == 3
    assert "model.fp16.onnx" not in Bundle(out).manifest.entries
    assert Bundle(out).manifest.gate["fp16"]["passed"] is False
    run(*arguments, "--allow")
    assert "model.fp16.onnx" in Bundle(out).manifest.entries
    assert Bundle(out).manifest.gate["fp16"]["allowed"] is True


@pytest.mark.parametrize(
    ("file", "options", "error", "sentence"),
    [
        ("best.safetensors", [], ExportError, "--data SPEC or --images DIR"),
        ("lost.safetensors", [], ExportError, "data that cannot be read here .* --data SPEC or --images DIR"),
        ("best.safetensors", ["--data", "lsp:x", "--images", "y"], ExportError, "not on both"),
        ("best.safetensors", ["--data", "lsp:nowhere"], DataError, "nowhere"),
        ("best.safetensors", ["--images", "nowhere"], DataError, "there is no folder nowhere"),
        ("none.safetensors", [], BundleError, "there is no checkpoint"),
        ("best.safetensors", ["--clutter", "few"], ExportError, "auto, all or a number"),
        ("best.safetensors", ["--precision", ","], ExportError, "names nothing"),
        ("best.safetensors", ["--keypoints", "c", "--images", "PHOTOS"], CokeError, "choose among a, b$"),
        (
            "best.safetensors",
            ["--precision", "fp12", "--images", "PHOTOS"],
            ExportError,
            "no precision 'fp12'",
        ),
        ("best.safetensors", ["--targets", "orion", "--images", "PHOTOS"], ExportError, "no target 'orion'"),
        (
            "best.safetensors",
            ["--clutter", "99999", "--images", "PHOTOS"],
            ExportError,
            "the clutter bank has",
        ),
    ],
)
def test_mistakes(
    run_folder: Path,
    photos: Path,
    tmp_path: Path,
    file: str,
    options: list[str],
    error: type[CokeError],
    sentence: str,
) -> None:
    out = tmp_path / "x.coke"
    with pytest.raises(error, match=sentence):
        run(run_folder / file, "-o", out, *(photos if o == "PHOTOS" else o for o in options))
    assert not list(tmp_path.iterdir())

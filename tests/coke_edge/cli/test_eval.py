"""`coke-edge eval` from the outside: what it prints where, what it writes, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.io import savemat
from typer.testing import CliRunner

from coke_edge.cli.eval import app
from coke_edge.errors import BundleError, CokeError
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import InputSpec, ModelSpec
from coke_edge.train.checkpoint import Description, save_checkpoint
from coke_edge.train.data.lsp import KEYPOINTS
from coke_edge.train.model import CokeModel
from coke_edge.train.recipe import make_recipe

IMAGES = 6  # of which the second half is the test split


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the checkpoint of an untrained model."""
    torch.manual_seed(0)
    recipe = make_recipe("tiny", pretrained="none", width=64, height=64)
    model = CokeModel(recipe, len(KEYPOINTS.names))
    size = InputSpec(64, 64, 1.3, (127, 127, 127), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    spec = ModelSpec(KEYPOINTS, size, 8, HeadSpec("similarity", 0.07, 0.005))
    folder = tmp_path_factory.mktemp("run")
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    save_checkpoint(folder / "best.safetensors", tensors, Description(spec, recipe, {}))
    return folder


@pytest.fixture(scope="module")
def lsp(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data set in LSP's layout."""
    folder = tmp_path_factory.mktemp("lsp")
    rng = np.random.default_rng(0)
    joints = np.concatenate([rng.uniform(10, 90, (2, 14, IMAGES)), np.zeros((1, 14, IMAGES))])
    savemat(folder / "joints.mat", {"joints": joints})
    (folder / "images").mkdir()
    for number in range(1, IMAGES + 1):
        noise = rng.integers(0, 256, (100, 100, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "images" / f"im{number:04d}.jpg"), noise)
    return f"lsp:{folder}"


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_json_is_one_object_on_stdout(run_folder, lsp):
    result = invoke(run_folder, "--data", lsp, "--json")
    figures = json.loads(result.stdout)
    assert figures["images"] == IMAGES // 2
    assert list(figures["pck"]) == ["0.05", "0.1", "0.2"]
    assert figures["normaliser"] == "torso"
    assert set(figures["per_keypoint"]) == set(KEYPOINTS.names)
    assert (figures["backend"], figures["split"]) == ("torch", "test")
    assert "Next: coke-edge eval" in result.stderr


def test_the_table_and_the_report(run_folder, lsp, tmp_path):
    checkpoint = run_folder / "best.safetensors"
    options = ("--split", "val", "--thresholds", "0.5,0.1", "--report", tmp_path / "report")
    with pytest.raises(CokeError):  # three training images: none is the tenth
        invoke(checkpoint, "--data", lsp, *options)
    assert not (tmp_path / "report").exists()
    result = invoke(checkpoint, "--data", lsp, "--limit", 2, *options[2:])
    assert "left_shoulder" in result.stdout
    assert "@0.5" in result.stdout
    assert "2 images" in " ".join(result.stdout.split())
    assert f"coke-edge export {checkpoint}" in result.stderr
    assert len((tmp_path / "report" / "predictions.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("thresholds", ["", "0.1,x", "0", "0.1,-1", "nan", "inf"])
def test_thresholds_must_be_positive_numbers(run_folder, lsp, thresholds):
    with pytest.raises(CokeError, match="--thresholds takes positive numbers"):
        invoke(run_folder, "--data", lsp, "--thresholds", thresholds)


def test_a_text_file_is_no_model(lsp, tmp_path):
    for name in ("model.coke", "model.safetensors"):
        (tmp_path / name).write_text("these are not weights")
        with pytest.raises(BundleError):
            invoke(tmp_path / name, "--data", lsp)


@pytest.mark.data
def test_real_images(run_folder, data_root):
    figures = json.loads(
        invoke(run_folder, "--data", f"lsp:{data_root / 'lsp'}", "--limit", 3, "--json").stdout
    )
    assert figures["images"] == 3
    assert 30 <= figures["keypoints"] <= 42
    assert figures["pck"]["0.2"] < 30  # untrained

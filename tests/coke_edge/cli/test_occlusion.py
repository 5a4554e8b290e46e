"""`coke-edge eval --occlusion` and `coke-edge data occlude`, which must see the same images."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.io import savemat
from typer.testing import CliRunner

from coke_edge.cli import data
from coke_edge.cli import eval as eval_command
from coke_edge.errors import CokeError
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import InputSpec, ModelSpec, VisibilitySpec
from coke_edge.train.checkpoint import Description, save_checkpoint
from coke_edge.train.data.lsp import KEYPOINTS
from coke_edge.train.model import CokeModel
from coke_edge.train.recipe import make_recipe

IMAGES = 6  # of which the second half is the test split


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lsp/, photos/, first/ and run/, whose model is untrained.

    It says that it was trained on lsp/ with occluders from a part of photos/, and before that with those of first/.
    """
    root = tmp_path_factory.mktemp("occlusion")
    rng = np.random.default_rng(0)
    joints = np.concatenate([rng.uniform(15, 85, (2, 14, IMAGES)), np.zeros((1, 14, IMAGES))])
    for name, count in (("lsp/images", IMAGES), ("photos", 8), ("first", 1)):
        (root / name).mkdir(parents=True)
        for n in range(1, count + 1):
            noise = rng.integers(0, 256, (100, 100, 3), dtype=np.uint8)
            cv2.imwrite(str(root / name / f"im{n:04d}.jpg"), noise)
    savemat(root / "lsp/joints.mat", {"joints": joints})
    torch.manual_seed(0)
    used = f"{root / 'photos'}?part=train"
    recipe = make_recipe("tiny", pretrained="none", width=64, height=64, occluder_images=used, placement=0.0)
    size = InputSpec(64, 64, 1.3, (127, 127, 127), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    some = VisibilitySpec(2.0, 0.0, 0.0, (0.0,) * len(KEYPOINTS.names))
    spec = ModelSpec(KEYPOINTS, size, 8, HeadSpec("similarity", 0.07, 0.005), visibility=some)
    model = CokeModel(recipe, len(KEYPOINTS.names))
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    (root / "run").mkdir()
    earlier = [{"data": "coco:gone.json", "occluder_images": str(root / "first")}]
    training = {"data": f"lsp:{root / 'lsp'}", "earlier": earlier}
    save_checkpoint(root / "run/best.safetensors", tensors, Description(spec, recipe, training))
    return root


def invoke(app, *arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def measure(folder: Path, *arguments: object):
    return invoke(eval_command.app, folder / "run", "--data", f"lsp:{folder / 'lsp'}", *arguments)


def test_levels_side_by_side(folder: Path) -> None:
    photos = f"{folder / 'photos'}?part=test"
    result = measure(folder, "--occlusion", "L0,L2", "--occluders", photos, "--limit", 1)
    table = " ".join(result.stdout.split())
    for text in (
        "L0",
        "L2",
        "PCK@0.2",
        "left/right forgiven @0.2",
        "AUROC visible / covered",
        "keypoints covered",
    ):
        assert text in table
    assert "data occlude" in result.stderr


def test_written_images_give_the_figures_of_the_fly(folder: Path, tmp_path: Path) -> None:
    out, photos = tmp_path / "o", f"{folder / 'photos'}?part=test"
    options = ("--occluders", photos, "--seed", 5, "--json")
    fly = json.loads(measure(folder, "--occlusion", "L3", *options).stdout)
    assert (fly["seed"], fly["occluders"], list(fly["levels"])) == (5, photos, ["L3"])
    written = invoke(data.app, "occlude", f"lsp:{folder / 'lsp'}", out, "--levels", "L1,L3", *options)
    assert json.loads(written.stdout)["levels"]["L3"]["objects"] == IMAGES // 2
    assert "Next: coke-edge eval" in written.stderr
    again = invoke(eval_command.app, folder / "run", "--data", f"occluded:{out}?level=L3", "--json")
    disk = json.loads(again.stdout)
    same = set(disk) - {"latency_ms", "dataset"}
    assert {k: disk[k] for k in same} == {k: fly["levels"]["L3"][k] for k in same}
    assert disk["covered"] > 0
    assert disk["covered_auroc"] is not None


def test_written_images_are_held_against_the_training_as_well(folder: Path, tmp_path: Path) -> None:
    photos = f"{folder / 'photos'}?part=train"
    invoke(
        data.app, "occlude", f"lsp:{folder / 'lsp'}", tmp_path / "o", "--levels", "L1", "--occluders", photos
    )
    with pytest.raises(CokeError, match=r"took occluders from .* of the .* photos"):
        invoke(eval_command.app, folder / "run", "--data", f"occluded:{tmp_path / 'o'}?level=L1")


def test_the_clean_level_needs_no_occluders(folder: Path) -> None:
    clean = json.loads(measure(folder, "--occlusion", "L0", "--limit", 1, "--json").stdout)
    assert clean["occluders"] is None
    assert (clean["levels"]["L0"]["objects"], clean["levels"]["L0"]["covered"]) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--occlusion", "L0,L1"], "add --occluders with a folder of photos"),
        (["--occlusion", "L5", "--occluders", "{}/photos"], "'L5' is no level of occlusion"),
        (["--occluders", "{}/photos"], "--occluders does nothing by itself"),
        (["--occlusion", "L1", "--occluders", "{}/photos"], "was trained with occluders from"),
        (["--occlusion", "L1", "--occluders", "{}/photos?part=train"], "was trained with occluders from"),
        (["--occlusion", "L1", "--occluders", "{}/first"], "was trained with occluders from"),
        (["--occlusion", "L1", "--occluders", "{}/lsp/images"], "3 of the 6 images .* are training images"),
        (["--occlusion", "L1", "--occluders", "{}/gone"], "there is no folder"),
        (["--occlusion", "L1", "--occluders", "{}/photos?part=test", "--report", "r"], "data occlude"),
    ],
)
def test_what_is_refused(folder: Path, arguments: list[str], sentence: str) -> None:
    with pytest.raises(CokeError, match=sentence) as caught:
        measure(folder, *(argument.format(folder) for argument in arguments))
    assert "\n" not in str(caught.value)


def test_occlude_says_what_it_wrote_and_refuses_a_full_folder(folder: Path, tmp_path: Path) -> None:
    arguments = ("occlude", f"lsp:{folder / 'lsp'}", tmp_path / "o", "--occluders", folder / "photos")
    result = invoke(data.app, *arguments, "--levels", "L1")
    assert result.stdout.startswith("L1: 3 images, on average ")
    with pytest.raises(CokeError, match="holds something else"):
        invoke(data.app, *arguments, "--levels", "L2")
    with pytest.raises(CokeError, match="takes none"):
        invoke(data.app, *arguments[:2], tmp_path / "p", *arguments[3:], "--azimuth", "unseen")

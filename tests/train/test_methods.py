"""Every method through the same trainer: it learns, resumes exactly, says what it is, is evaluated as the others."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from coke_edge.errors import CokeError
from coke_edge.geometry import cells_to_crop
from coke_edge.kernels.spec import HeadSpec
from coke_edge.kernels.torch_reference import find_peaks
from coke_edge.manifest import InputSpec
from coke_edge.train.checkpoint import KEY, load_checkpoint, read_checkpoint
from coke_edge.train.crops import Crops, stack
from coke_edge.train.data.sample import KeypointDataset
from coke_edge.train.evaluate import evaluate, open_model
from coke_edge.train.methods import create_model
from coke_edge.train.recipe import Recipe, make_recipe
from coke_edge.train.trainer import Trainer

METHODS: dict[str, dict[str, Any]] = {
    "coke": {},
    "coke, both": {"prototypes": "both"},
    "heatmap": {"method": "heatmap"},
    "heatmap, mse": {"method": "heatmap", "heatmap_loss": "mse"},
    "hourglass": {"method": "hourglass", "stacks": 1},
}
PLAIN = {"flip": 0.0, "scale": 0.0, "rotation": 0.0, "shift": 0.0, "colour": 0.0, "occluders": 0.0}
DIFFERENT_STATES = (
    "coke, both",
    "heatmap",
    "hourglass",
)  # what there is beside them adds nothing to the state


def small(**keys: object) -> Recipe:
    base = {
        "backbone": "test_efficientnet", "pretrained": "none", "width": 64, "height": 64, "channels": 16, "context": 1,
        "epochs": 2, "batch_size": 2, "workers": 0, "eval_every": 2, "clutter_size": 64, "box_margin": 1.2,
    }  # fmt: skip
    return make_recipe("edge", **{**base, **keys})


def trainer(dots: KeypointDataset, folder: Path, resume: bool = False, **keys: object) -> Trainer:
    return Trainer(small(**keys), dots, dots, folder, resume=resume, accelerator="cpu")


@pytest.mark.parametrize("keys", METHODS.values(), ids=METHODS)
def test_it_learns_eight_crops_by_heart(dots: KeypointDataset, keys: dict[str, Any]) -> None:
    torch.manual_seed(0)
    recipe = small(**{**PLAIN, "freeze_to_stride": 0, **keys})
    model = create_model(recipe, 4).train()
    spec = InputSpec(64, 64, 1.2, (100, 100, 100), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    crops = Crops(dots, recipe, spec)
    batch = stack([crops[0, i] for i in range(8)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        losses = model(batch)
        optimizer.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        peaks = find_peaks(model.score_maps(batch.image, HeadSpec("similarity", 0.07, 0.005)), 1)
    row, column = peaks.index[..., 0] // (64 // model.stride), peaks.index[..., 0] % (64 // model.stride)
    found = torch.as_tensor(cells_to_crop(column.numpy(), row.numpy(), model.stride))
    error = (found[:, : batch.keypoints.shape[1]] - batch.keypoints).norm(dim=-1)  # where each is seen
    # By chance a cell lies this near in about one case of fourteen.
    assert (error <= 8.0).float().mean() > 0.9


@pytest.mark.parametrize("name", DIFFERENT_STATES)
def test_a_resumed_run_is_the_same_run(dots: KeypointDataset, tmp_path: Path, name: str) -> None:
    keys = METHODS[name]
    few = dataclasses.replace(dots, samples=dots.samples[-4:])
    trainer(few, tmp_path / "whole", **keys).fit()
    trainer(few, tmp_path / "halves", **keys).fit(stop_after=1)
    trainer(few, tmp_path / "halves", resume=True, **keys).fit(stop_after=2)
    whole, halves = (read_checkpoint(tmp_path / name / "last.safetensors")[0] for name in ("whole", "halves"))
    assert whole.keys() == halves.keys()
    assert [name for name in whole if not torch.equal(whole[name], halves[name])] == []
    checkpoint = load_checkpoint(tmp_path / "whole")
    assert checkpoint.recipe.method == keys.get("method", "coke")
    assert checkpoint.spec.stride == checkpoint.model.stride == (4 if "stacks" in keys else 8)
    assert checkpoint.spec.visibility is not None
    assert set(checkpoint.training["calibration"]["pck_by_rule"]) == set(checkpoint.model.rules)
    result = evaluate(open_model(str(tmp_path / "whole")), few, progress=False)
    assert result.keypoints == 15


@pytest.mark.parametrize("method", ["heatmap", "hourglass"])
def test_a_baseline_has_no_clutter_to_subtract(dots: KeypointDataset, tmp_path: Path, method: str) -> None:
    with pytest.raises(CokeError, match=f"rule margin needs a clutter bank, which the method {method} does"):
        trainer(dots, tmp_path / "run", method=method, rule="margin")
    assert not (tmp_path / "run").exists()
    run = trainer(dots, tmp_path / "plain", method=method, rule="similarity")
    assert run.files.spec.head.rule == "similarity"


def test_a_checkpoint_from_before_there_were_methods_is_cokes(dots: KeypointDataset, tmp_path: Path) -> None:
    trainer(dots, tmp_path).fit(stop_after=1)
    for name in ("method", "heatmap_loss", "heatmap_sigma", "stacks", "clutter_covered"):
        forget(tmp_path / "last.safetensors", name)
    assert load_checkpoint(tmp_path / "last.safetensors").recipe == small()
    assert trainer(dots, tmp_path, resume=True).fit().finished


def forget(path: Path, key: str) -> None:
    """Rewrite a checkpoint without one key of its recipe."""
    with safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()[KEY])
    del description["recipe"][key]
    save_file(read_checkpoint(path)[0], path, metadata={KEY: json.dumps(description)})

"""What a second training inherits of the first: the weights, and that it was trained on what it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from coke_edge.errors import BundleError
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import InputSpec, Keypoints2D, ModelSpec
from coke_edge.train.checkpoint import Description, read_checkpoint, save_checkpoint
from coke_edge.train.data.sample import KeypointDataset
from coke_edge.train.lineage import (
    EARLIER,
    UNKNOWN,
    Stage,
    earlier_stages,
    stages_in,
    stages_of,
    summary_of,
)
from coke_edge.train.recipe import make_recipe
from coke_edge.train.trainer import Trainer

HALF = (0.5, 0.5, 0.5)
SPEC = ModelSpec(
    Keypoints2D(("a", "b")),
    InputSpec(64, 64, 1.0, (0, 0, 0), HALF, HALF),
    8,
    HeadSpec("similarity", 0.07, 0.005),
)
SMALL = {
    "backbone": "test_efficientnet", "pretrained": "none", "width": 64, "height": 64, "channels": 16, "context": 1,
    "epochs": 2, "batch_size": 4, "workers": 0, "eval_every": 0, "clutter_size": 64,
}  # fmt: skip


def saved(file: Path, training: dict[str, object], **recipe: object) -> Path:
    """A checkpoint without weights."""
    save_checkpoint(file, {}, Description(SPEC, make_recipe(**recipe), training))
    return file


def test_each_stage_adds_to_those_before(tmp_path: Path) -> None:
    assert earlier_stages(None) == []
    first = saved(tmp_path / "first.safetensors", {"data": "coco:c.json"}, occluder_images="p?part=train")
    earlier = earlier_stages(str(first))
    assert earlier == [Stage("coco:c.json", "p?part=train")]
    assert summary_of(earlier) == {EARLIER: [{"data": "coco:c.json", "occluder_images": "p?part=train"}]}
    second = saved(tmp_path / "best.safetensors", {"data": "mpii:m", **summary_of(earlier)}, start=str(first))
    both = [Stage("coco:c.json", "p?part=train"), Stage("mpii:m")]
    assert stages_of(second) == stages_of(tmp_path) == both
    assert earlier_stages(str(tmp_path))[1] == Stage("mpii:m")
    # The second stage goes on: it knows what came before, whatever has become of the first one's file.
    first.unlink()
    assert earlier_stages(str(first), resumed=second) == earlier


def test_what_is_not_recorded_is_an_unknown_stage(tmp_path: Path) -> None:
    assert stages_in({}, None) == [Stage()]
    assert stages_in({"data": "mpii:m"}, None, "one/best.safetensors") == [UNKNOWN, Stage("mpii:m")]
    with pytest.raises(BundleError, match="does not say properly"):
        stages_in({EARLIER: "lsp:lsp"}, None)
    with pytest.raises(BundleError, match="no checkpoint"):
        earlier_stages(str(tmp_path))


def test_a_start_whose_training_is_not_recorded_is_an_unknown_stage(tmp_path: Path) -> None:
    second = saved(tmp_path / "second.safetensors", {"data": "mpii:m"}, start="one/best.safetensors")
    assert stages_of(second) == [UNKNOWN, Stage("mpii:m")]
    assert earlier_stages("one/best.safetensors", resumed=second) == [UNKNOWN]


def test_a_run_records_what_it_started_from_also_after_a_stop(dots: KeypointDataset, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    photos = str(dots.samples[0].image.parent)
    Trainer(make_recipe(**SMALL, occluder_images=photos), dots, dots, one, accelerator="cpu").fit(1)
    recipe = make_recipe(**SMALL, start=str(one / "last.safetensors"))
    Trainer(recipe, dots, dots, two, accelerator="cpu").fit(1)
    assert EARLIER not in read_checkpoint(one / "last.safetensors")[1].training
    (one / "last.safetensors").unlink()
    Trainer(recipe, dots, dots, two, resume=True, accelerator="cpu").fit()
    for name in ("last", "best"):
        training = read_checkpoint(two / f"{name}.safetensors")[1].training
        assert training[EARLIER] == [{"data": "dots", "occluder_images": photos}]
        assert training["data"] == "dots"

"""Runs: that resuming continues exactly, at an epoch's end and in its middle, and what a run leaves behind."""

from __future__ import annotations

import csv
import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from coke_edge.errors import BundleError, CokeError, DataError
from coke_edge.manifest import Keypoints2D
from coke_edge.train.backbone import create_backbone
from coke_edge.train.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, KeypointDataset, Sample
from coke_edge.train.initial_spec import margins_seen
from coke_edge.train.method import Losses
from coke_edge.train.recipe import Recipe, make_recipe
from coke_edge.train.state import Progress
from coke_edge.train.trainer import Trainer


def small(**keys: object) -> Recipe:
    base = {
        "backbone": "test_efficientnet", "pretrained": "none", "width": 64, "height": 64, "channels": 16, "context": 1,
        "epochs": 4, "batch_size": 4, "workers": 0, "eval_every": 2, "clutter_size": 64, "box_margin": 1.2,
    }  # fmt: skip
    return make_recipe("edge", **{**base, **keys})


def trainer(dots: KeypointDataset, folder: Path, resume: bool = False, **keys: object) -> Trainer:
    return Trainer(small(**keys), dots, dots, folder, resume=resume, accelerator="cpu")


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "last.safetensors")[0]


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def rows(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without its times."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


class SignalAt:
    """Sends this process a signal after a step."""

    def __init__(self, epoch: int, batch: int, number: signal.Signals) -> None:
        self.at, self.number = (epoch, batch), number

    def step(self, progress: Progress, steps_per_epoch: int, loss: float) -> None:
        if (progress.epoch, progress.batch) == self.at:
            os.kill(os.getpid(), self.number)

    def epoch(self, progress: Progress, losses: Losses, pck: float | None) -> None: ...


def test_two_epochs_and_two_more_equal_four(dots: KeypointDataset, tmp_path: Path) -> None:
    trainer(dots, tmp_path / "whole").fit()
    assert trainer(dots, tmp_path / "halves").fit(stop_after=2).epoch == 2
    trainer(dots, tmp_path / "halves", resume=True).fit()
    assert_same(tensors(tmp_path / "whole"), tensors(tmp_path / "halves"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_an_epoch_loses_nothing(
    dots: KeypointDataset, tmp_path: Path, number: signal.Signals
) -> None:
    trainer(dots, tmp_path / "whole").fit()
    cut = trainer(dots, tmp_path / "cut")
    cut.watcher = SignalAt(1, 2, number)
    progress = cut.fit()
    assert (progress.epoch, progress.batch, progress.finished) == (1, 2, False)
    trainer(dots, tmp_path / "cut", resume=True).fit()
    assert_same(tensors(tmp_path / "whole"), tensors(tmp_path / "cut"))
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")


def test_what_a_run_leaves_behind(dots: KeypointDataset, tmp_path: Path) -> None:
    run = trainer(dots, tmp_path)
    progress = run.fit()
    assert progress.finished
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.spec.keypoints == dots.keypoints
    assert checkpoint.spec.visibility is not None
    assert checkpoint.training["data"] == "dots"
    assert set(checkpoint.training["calibration"]["pck_by_rule"]) == {"similarity", "margin", "log_odds"}
    assert not checkpoint.model.training
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert [bool(row["pck"]) for row in rows] == [False, True, False, True]
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == ["epoch0002.jpg", "epoch0004.jpg"]
    assert any((tmp_path / "tensorboard").iterdir())


def test_it_learns(dots: KeypointDataset, tmp_path: Path) -> None:
    still = {"rotation": 0.0, "scale": 0.0, "colour": 0.0, "occluders": 0.0}
    run = trainer(
        dots,
        tmp_path,
        epochs=30,
        eval_every=30,
        lr=1e-2,
        backbone_lr=1e-2,
        ema=0.0,
        freeze_to_stride=0,
        **still,
    )
    losses = [float(run.run_epoch().total) for _ in range(30)]  # type: ignore[union-attr]
    assert losses[-1] < 0.6 * losses[0]


def test_patience_stops_early(dots: KeypointDataset, tmp_path: Path) -> None:
    progress = trainer(dots, tmp_path, epochs=50, eval_every=1, patience=2, lr=1e-9, backbone_lr=1e-9).fit()
    assert progress.finished
    assert progress.epoch < 50


def test_margins_are_tried_within_the_scales_of_training() -> None:
    assert margins_seen(small(box_margin=2.0, scale=0.1)) == [2.0, 1.9, 2.1]
    assert margins_seen(small(box_margin=2.0, scale=0.3)) == [2.0, 1.7, 1.8, 1.9, 2.1]
    assert margins_seen(small(scale=0.0)) == [1.2]


def test_a_fixed_rule_is_kept(dots: KeypointDataset, tmp_path: Path) -> None:
    trainer(dots, tmp_path, epochs=1, rule="margin").fit()
    assert load_checkpoint(tmp_path).spec.head.rule == "margin"


def test_resuming_with_another_recipe_names_the_difference(dots: KeypointDataset, tmp_path: Path) -> None:
    trainer(dots, tmp_path).fit(stop_after=1)
    with pytest.raises(CokeError, match=r"batch_size 4 → 8"):
        trainer(dots, tmp_path, resume=True, batch_size=8)


def test_resuming_nothing_or_weights_alone(dots: KeypointDataset, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no checkpoint"):
        trainer(dots, tmp_path / "none", resume=True)
    trainer(dots, tmp_path, epochs=1, eval_every=1).fit()
    (tmp_path / "best.safetensors").replace(tmp_path / "last.safetensors")
    with pytest.raises(BundleError, match="weights only"):
        trainer(dots, tmp_path, resume=True, epochs=1, eval_every=1)


def test_a_broken_checkpoint_is_one_sentence(dots: KeypointDataset, tmp_path: Path) -> None:
    trainer(dots, tmp_path).fit(stop_after=1)
    last = tmp_path / "last.safetensors"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(BundleError, match="damaged"):
        load_checkpoint(last)


def test_a_diverging_run_stops_and_keeps_its_checkpoint(dots: KeypointDataset, tmp_path: Path) -> None:
    run = trainer(dots, tmp_path)
    run.fit(stop_after=1)
    kept = (tmp_path / "last.safetensors").read_bytes()
    with torch.no_grad():
        next(iter(run.state.model.neck.parameters())).fill_(float("nan"))
    with pytest.raises(CokeError, match="loss became nan"):
        run.fit()
    assert (tmp_path / "last.safetensors").read_bytes() == kept


def test_stopping_after_epochs_that_are_done_trains_no_more(dots: KeypointDataset, tmp_path: Path) -> None:
    trainer(dots, tmp_path).fit(stop_after=2)
    assert trainer(dots, tmp_path, resume=True).fit(stop_after=1).epoch == 2


def test_a_resumed_log_goes_on_where_the_checkpoint_stands(dots: KeypointDataset, tmp_path: Path) -> None:
    trainer(dots, tmp_path).fit(stop_after=2)
    kept = (tmp_path / "last.safetensors").read_bytes()
    trainer(dots, tmp_path, resume=True).fit(stop_after=3)
    (tmp_path / "last.safetensors").write_bytes(kept)  # as after a crash in the fourth epoch
    trainer(dots, tmp_path, resume=True).fit()
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]


def test_resuming_needs_neither_hub_nor_weight_file(dots: KeypointDataset, tmp_path: Path) -> None:
    weights = tmp_path / "imagenet.safetensors"
    save_file(create_backbone("test_efficientnet", "none").state_dict(), weights)
    trainer(dots, tmp_path / "run", pretrained=str(weights)).fit(stop_after=1)
    weights.unlink()
    assert trainer(dots, tmp_path / "run", resume=True, pretrained=str(weights)).fit(stop_after=2).epoch == 2


def test_resuming_on_other_keypoints_is_one_sentence(dots: KeypointDataset, tmp_path: Path) -> None:
    trainer(dots, tmp_path).fit(stop_after=1)
    with pytest.raises(BundleError, match="do not fit the data set's keypoints"):
        trainer(first_keypoint(dots), tmp_path, resume=True)


def test_a_signal_in_the_last_validation_leaves_the_calibration_to_a_resumed_run(
    dots: KeypointDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(dots, tmp_path, epochs=1)
    validate = run.validate

    def interrupted() -> float:
        os.kill(os.getpid(), signal.SIGINT)
        return validate()

    monkeypatch.setattr(run, "validate", interrupted)
    progress = run.fit()
    assert (progress.epoch, progress.finished) == (1, False)
    assert load_checkpoint(tmp_path).spec.visibility is None
    assert trainer(dots, tmp_path, resume=True, epochs=1).fit().finished
    assert load_checkpoint(tmp_path).spec.visibility is not None


def test_an_interrupted_calibration_is_made_up_for(
    dots: KeypointDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("coke_edge.train.validation.calibrate", interrupt)
        assert not trainer(dots, tmp_path, epochs=1).fit().finished
    assert trainer(dots, tmp_path, resume=True, epochs=1).fit().finished


def first_keypoint(data: KeypointDataset) -> KeypointDataset:
    """The same objects with one keypoint, K = 1."""
    samples = [
        dataclasses.replace(s, keypoints=s.keypoints[:1], visibility=s.visibility[:1]) for s in data.samples
    ]
    return dataclasses.replace(data, keypoints=Keypoints2D(("dot",)), samples=samples)


def flagged(data: KeypointDataset, flag: int) -> KeypointDataset:
    """The same objects, every keypoint with one flag."""
    samples: list[Sample] = [
        dataclasses.replace(s, visibility=np.full_like(s.visibility, flag)) for s in data.samples
    ]
    return dataclasses.replace(data, samples=samples)


@pytest.mark.parametrize("rule", ["similarity", "margin", "log_odds"])
def test_one_keypoint_an_oblong_crop_and_no_clutter_bank(
    dots: KeypointDataset, tmp_path: Path, rule: str
) -> None:
    one = first_keypoint(dots)
    progress = trainer(one, tmp_path, epochs=1, rule=rule, width=96, clutter_size=0).fit()
    assert progress.finished
    assert 0 <= progress.best_pck <= 100
    checkpoint = load_checkpoint(tmp_path)
    assert (checkpoint.spec.input.width, checkpoint.spec.input.height) == (96, 64)
    assert checkpoint.model.clutter.shape == (0, 16)


@pytest.mark.parametrize("flag", [HIDDEN, UNLABELLED])
@pytest.mark.parametrize("prototypes", ["learned", "average"])
def test_nothing_visible_in_a_batch(
    dots: KeypointDataset, tmp_path: Path, flag: int, prototypes: str
) -> None:
    """Neither a batch nor a validation set without a visible keypoint ends a run."""
    nothing = flagged(dots, flag)
    assert trainer(nothing, tmp_path, epochs=1, prototypes=prototypes).fit().finished
    assert load_checkpoint(tmp_path).spec.visibility is None


def test_no_validation_samples_and_fewer_images_than_a_batch(dots: KeypointDataset, tmp_path: Path) -> None:
    empty = dataclasses.replace(dots, samples=[])
    progress = Trainer(small(epochs=1, batch_size=64), dots, empty, tmp_path, accelerator="cpu").fit()
    assert progress.finished
    assert load_checkpoint(tmp_path).spec.head.rule == "similarity"


def test_bf16(dots: KeypointDataset, tmp_path: Path) -> None:
    run = trainer(dots, tmp_path, precision="bf16")
    losses = run.run_epoch()
    assert losses is not None
    assert all(torch.isfinite(part) for part in losses)
    assert all(p.dtype == torch.float32 for p in run.state.model.parameters())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_image_is_one_sentence(dots: KeypointDataset, tmp_path: Path, workers: int) -> None:
    image = tmp_path / "cut.png"
    image.write_bytes(dots.samples[0].image.read_bytes()[:200])
    broken = dataclasses.replace(dots, samples=[dataclasses.replace(dots.samples[0], image=image)])
    run = Trainer(small(workers=workers), broken, dots, tmp_path / "run", accelerator="cpu")
    with pytest.raises(DataError) as caught:
        run.fit()
    assert str(caught.value).startswith(f"{image} is truncated")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"devices": 999, "accelerator": "auto"}, "999 processes here need 999 GPUs, but torch sees"),
        ({"devices": 0}, "training needs at least one device, not 0"),
        ({"accelerator": "abacus"}, "this machine has no 'abacus' to train on"),
    ],
)
def test_devices_that_it_cannot_use(
    dots: KeypointDataset, tmp_path: Path, keys: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CokeError, match=sentence):
        Trainer(small(), dots, dots, tmp_path, **{"accelerator": "cpu", **keys})


def test_no_training_samples(dots: KeypointDataset, tmp_path: Path) -> None:
    empty = dataclasses.replace(dots, samples=[])
    with pytest.raises(CokeError, match="no training samples"):
        Trainer(small(), empty, dots, tmp_path, accelerator="cpu")


def test_a_signal_while_the_processes_agree_is_not_lost(dots: KeypointDataset, tmp_path: Path) -> None:
    run = trainer(dots, tmp_path)
    asked_of = run.processes.any

    def interrupted(flag: bool) -> bool:
        run.processes.any = asked_of  # type: ignore[method-assign]
        os.kill(os.getpid(), signal.SIGTERM)
        return asked_of(flag)

    run.processes.any = interrupted  # type: ignore[method-assign]
    with run.signals.noted():
        assert not run.stopping()  # the answer that all processes have had
        assert run.stop_asked
        assert run.stopping()


def test_resuming_on_more_or_fewer_images_is_one_sentence(dots: KeypointDataset, tmp_path: Path) -> None:
    trainer(dots, tmp_path).fit(stop_after=1)
    fewer = dataclasses.replace(dots, samples=dots.samples[:-1])
    with pytest.raises(
        CokeError, match="begun on 12 training images, but the data set has 11 now: restore it"
    ):
        trainer(fewer, tmp_path, resume=True)
    last = tmp_path / "last.safetensors"
    stored, description = read_checkpoint(last)
    del description.training["images"]  # as in a checkpoint of an older version
    save_checkpoint(last, stored, description)
    trainer(fewer, tmp_path, resume=True)

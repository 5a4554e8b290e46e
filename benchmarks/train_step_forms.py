"""One training step in several forms: of which method, in which precision and memory layout, compiled or not."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from coke_edge.train.average import AveragedModel
from coke_edge.train.batch import Batch
from coke_edge.train.data.sample import HIDDEN, VISIBLE
from coke_edge.train.methods import create_model
from coke_edge.train.model import CokeModel
from coke_edge.train.recipe import Recipe, make_recipe
from coke_edge.train.schedule import make_optimizer

PHASES = ("network", "head", "network backward", "update")


@dataclasses.dataclass(frozen=True)
class Form:
    """How a step is done. `channels_last` and `compiled` are of backbone and neck."""

    method: Literal["coke", "heatmap"] = "coke"
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = True
    compiled: bool = False

    @property
    def name(self) -> str:
        layout = "channels-last" if self.channels_last else "contiguous"
        return f"{self.method} {self.precision} {layout}{' compiled' if self.compiled else ''}"


# The first one of each method is what the trainer does; the others change one thing.
FORMS = (
    Form(),
    Form("heatmap"),
    Form(channels_last=False),
    Form("heatmap", channels_last=False),
    Form(precision="bf16"),
    Form("heatmap", precision="bf16"),
    Form(compiled=True),
    Form("heatmap", compiled=True),
)


class TrainStep:
    """The trainer's step (`train/trainer.py`) in four phases, on one batch, again and again.

    network            crops to features: backbone and neck
    head               features to the loss with all that a method has there (banks included), and back to the features
    network backward   from the features' gradient to all weights'
    update             limit of the gradient, AdamW, averaged weights
    """

    def __init__(self, form: Form, batch: Batch, recipe: Recipe, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        self.device = device
        self.recipe = make_recipe(
            "edge", **{**as_keys(recipe), "method": form.method, "precision": form.precision}
        )
        model = create_model(self.recipe, batch.keypoints.shape[1])
        layout = torch.channels_last if form.channels_last else torch.contiguous_format
        self.model = model.to(device, memory_format=layout).train()  # type: ignore[call-overload]
        if not form.channels_last:
            model.backbone.register_forward_pre_hook(contiguous)
        if isinstance(model, CokeModel):  # as it is after the first epoch
            bank = model.clutter_bank
            bank.push(F.normalize(torch.randn_like(bank.rows), dim=1))
        self.optimizer = make_optimizer(model, self.recipe)
        self.averaged = AveragedModel(model, self.recipe.ema)
        if form.compiled:
            model.backbone.compile()
            model.neck.compile()
        self.batch = batch.to(device)

    def __call__(self) -> dict[str, float]:
        """Milliseconds of each phase."""
        clock = [self.now()]
        mixed = self.recipe.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            features = self.model.features(self.batch.image)
        clock.append(self.now())
        leaf = features.detach().float().requires_grad_()
        self.optimizer.zero_grad(set_to_none=True)
        self.model.losses(leaf, self.batch).total.backward()
        clock.append(self.now())
        assert leaf.grad is not None
        features.backward(leaf.grad.to(features.dtype))
        clock.append(self.now())
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.averaged.update(self.model)
        clock.append(self.now())
        return {
            phase: 1000 * (after - before)
            for phase, before, after in zip(PHASES, clock, clock[1:], strict=False)
        }

    def now(self) -> float:
        """Seconds, when all that was asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def contiguous(module: torch.nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """`Method.features` makes its crops channels-last, whatever the weights are."""
    return (arguments[0].contiguous(), *arguments[1:])


def as_keys(recipe: Recipe) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in recipe.__struct_fields__}


def random_batch(recipe: Recipe, keypoints: int, seed: int = 0) -> Batch:
    """Noise, with keypoints anywhere in the crop, a quarter of them hidden: the time does not depend on the picture."""
    rng = np.random.default_rng(seed)
    size = (recipe.batch_size, recipe.height, recipe.width, 3)
    corner = np.array([recipe.width - 1, recipe.height - 1])
    hidden = rng.random((recipe.batch_size, keypoints)) < 0.25
    box = np.tile(np.concatenate([0.1 * corner, 0.9 * corner]), (recipe.batch_size, 1))
    return Batch(
        torch.from_numpy(rng.integers(0, 256, size, dtype=np.uint8)),
        torch.from_numpy((rng.random((recipe.batch_size, keypoints, 2)) * corner).astype(np.float32)),
        torch.from_numpy(np.where(hidden, HIDDEN, VISIBLE).astype(np.uint8)),
        torch.from_numpy(box.astype(np.float32)),
        torch.from_numpy(rng.integers(0, 2**62, recipe.batch_size)),
    )

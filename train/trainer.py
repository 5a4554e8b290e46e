"""The training loop: epochs, averaged weights, validation, checkpoints, and a clean stop at any moment."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec
import torch
from lightning_fabric import Fabric
from torch import Tensor

from coke_edge.detector import Detector
from coke_edge.errors import CokeError
from coke_edge.kernels.spec import HeadSpec, Rule
from coke_edge.manifest import InputSpec, ModelSpec
from coke_edge.train.batch import Batch
from coke_edge.train.checkpoint import Checkpoint, Description, load_checkpoint, save_checkpoint
from coke_edge.train.crops import Crops, batches, make_loader
from coke_edge.train.data.sample import KeypointDataset
from coke_edge.train.evaluate import Evaluation, evaluate
from coke_edge.train.method import Losses, Method
from coke_edge.train.methods import create_model
from coke_edge.train.metrics import USUAL_THRESHOLD
from coke_edge.train.recipe import Recipe
from coke_edge.train.report import contact_sheet
from coke_edge.train.run_log import RunLog
from coke_edge.train.schedule import make_optimizer, set_rates
from coke_edge.train.state import Progress, TrainState, prefixed
from coke_edge.train.torch_backend import TorchBackend
from coke_edge.train.visibility import calibrate
from coke_edge.train.warm_start import warm_start

MARGIN_STEPS = (1.0, 0.85, 0.9, 0.95, 1.05)  # of the recipe's margin, tried on the validation images


class Watcher(Protocol):
    """Who looks on while a run goes (the command line's progress bar)."""

    def step(self, progress: Progress, steps_per_epoch: int, loss: float) -> None: ...

    def epoch(self, progress: Progress, losses: Losses, pck: float | None) -> None: ...


class Trainer:
    """One run. Its folder holds best.safetensors, last.safetensors, metrics.csv, tensorboard/ and pictures."""

    def __init__(
        self,
        recipe: Recipe,
        train: KeypointDataset,
        val: KeypointDataset,
        folder: Path,
        *,
        resume: bool = False,
        devices: int = 1,
        accelerator: str = "auto",
        watcher: Watcher | None = None,
    ) -> None:
        if not train.samples:
            raise CokeError(f"{train.name} has no training samples: check its path and its parameters.")
        self.recipe, self.train_data, self.val_data, self.folder = recipe, train, val, folder
        self.watcher = watcher
        self.stop_asked = False
        self.fabric = make_fabric(devices, accelerator)
        self.fabric.seed_everything(recipe.seed, verbose=False)
        # A run that goes on has its weights already: where they once came from need not be there any more.
        start = msgspec.structs.replace(recipe, pretrained="none") if resume else recipe
        model = create_model(start, len(train.keypoints.names))
        if recipe.start and not resume:
            warm_start(model, recipe.start)
        self.rules = rules_tried(recipe, model)
        # On its device before the optimiser and its restored state, which Fabric does not move.
        model.to(self.fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.spec = initial_spec(recipe, model, train)
        self.state = TrainState(model, make_optimizer(model, recipe), recipe.ema)
        if resume:
            self.state.restore(folder / "last.safetensors", recipe)
        self.loader = make_loader(Crops(train, recipe, self.spec.input), recipe)
        self.model, self.optimizer = self.fabric.setup(model, self.state.optimizer)
        make_folder(folder)  # when everything else is known to be in order

    @property
    def progress(self) -> Progress:
        """Where the run stands."""
        return self.state.progress

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one epoch."""
        return len(self.loader)

    def fit(self, stop_after: int | None = None) -> Progress:
        """Train to the end, to a signal, or until `stop_after` epochs are done; the state is saved either way."""
        until = self.recipe.epochs if stop_after is None else stop_after
        log = RunLog(self.folder, self.progress.epoch)
        try:
            with self.stopping_at_signals():
                while not (self.stop_asked or self.complete or self.progress.epoch >= until):
                    losses = self.run_epoch()
                    if losses is None:
                        break
                    self.end_epoch(losses, log)
        finally:
            log.close()
        if self.complete and not (self.progress.finished or self.stop_asked):
            with suppress(KeyboardInterrupt):  # the training is saved: a resumed run calibrates again
                self.finish()
        return self.progress

    @property
    def complete(self) -> bool:
        """Whether the recipe's epochs are done, or `patience` validations have brought no gain."""
        stale = bool(self.recipe.patience) and self.progress.stale >= self.recipe.patience
        return self.progress.epoch >= self.recipe.epochs or stale

    def run_epoch(self) -> Losses | None:
        """One pass over the training crops: mean losses, or None if a signal cut it (the state is saved)."""
        sampler: Any = self.loader.batch_sampler
        sampler.epoch, sampler.skip = self.progress.epoch, self.progress.batch
        self.model.train()
        sums: list[Tensor] = []
        start = time.monotonic()
        for batch in batches(self.loader):
            losses = self.step(batch.to(self.fabric.device))
            sums.append(torch.stack([part.detach() for part in losses]))
            self.progress.batch += 1
            if self.watcher:
                self.watcher.step(self.progress, self.steps_per_epoch, float(losses.total.detach()))
            if self.stop_asked and self.progress.batch < self.steps_per_epoch:
                break
        self.progress.seconds += time.monotonic() - start
        if self.progress.batch < self.steps_per_epoch:
            self.save_last()
            return None
        self.progress.epoch += 1
        self.progress.batch = 0
        return Losses(*torch.stack(sums).mean(0))

    def step(self, batch: Batch) -> Losses:
        """One optimiser step on one batch."""
        total = self.recipe.epochs * self.steps_per_epoch
        done = self.progress.epoch * self.steps_per_epoch + self.progress.batch
        set_rates(self.optimizer, done / total, self.recipe)
        losses: Losses = self.model(batch)
        self.require_finite(losses.total, "loss")
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(losses.total)
        if self.recipe.clip:
            norm = self.fabric.clip_gradients(
                self.model, self.optimizer, max_norm=self.recipe.clip, error_if_nonfinite=False
            )
            self.require_finite(norm, "gradient")
        self.optimizer.step()
        self.state.averaged.update(self.state.model)
        return losses

    def require_finite(self, value: Tensor | None, what: str) -> None:
        """Raises CokeError if the training has diverged."""
        if value is not None and not torch.isfinite(value):
            raise CokeError(
                f"The {what} became {float(value.detach())} in epoch {self.progress.epoch + 1}: lower --lr, or "
                "look at the data with `coke-edge data check`. The checkpoints so far are kept."
            )

    def end_epoch(self, losses: Losses, log: RunLog) -> None:
        """Validate when due, write the numbers down, save."""
        every, epoch = self.recipe.eval_every, self.progress.epoch
        due = epoch == self.recipe.epochs or bool(every and epoch % every == 0)
        pck = self.validate() if due and self.val_data.samples else None
        numbers = {name: float(value) for name, value in losses._asdict().items()}
        log.write(
            {
                "epoch": epoch,
                "step": epoch * self.steps_per_epoch,
                "seconds": self.progress.seconds,
                "lr": max(group["lr"] for group in self.optimizer.param_groups),
                **numbers,
                **({} if pck is None else {"pck": pck, "best_pck": self.progress.best_pck}),
            }
        )
        self.save_last()
        if self.watcher:
            self.watcher.epoch(self.progress, losses, pck)

    def validate(self) -> float:
        """PCK [%] of the averaged weights on the validation set; a new best is kept, a picture drawn."""
        result = self.evaluate()
        pck = result.pck[USUAL_THRESHOLD[self.val_data.normaliser]]
        if pck > self.progress.best_pck:
            self.progress.best_pck, self.progress.stale = pck, 0
            self.save_best({"val_pck": result.pck})
        else:
            self.progress.stale += 1
        contact_sheet(self.folder / "pictures" / f"epoch{self.progress.epoch:04d}.jpg", result, self.val_data)
        return pck

    def evaluate(self) -> Evaluation:
        """The averaged model on the validation set, through the detector that users get."""
        checkpoint = Checkpoint(self.state.best_guess.eval(), self.spec, self.recipe, {})
        detector = Detector.from_backend(self.spec, TorchBackend(checkpoint))
        return evaluate(detector, self.val_data, progress=False)

    def finish(self) -> None:
        """Choose the score rule and calibrate visibility for the best weights; write them with their figures."""
        if self.progress.best_pck < 0:  # never measured: no validation images, or nothing counts in them
            self.save_best({})
        if self.val_data.samples:
            best = load_checkpoint(self.folder / "best.safetensors")
            best.model.to(self.fabric.device)
            spec, figures = calibrate(
                best.model,
                best.spec,
                self.val_data,
                seed=self.recipe.seed,
                rules=self.rules,
                margins=margins_seen(self.recipe),
            )
            tensors = prefixed("model.", best.model.state_dict())
            training = {**best.training, "calibration": figures}
            save_checkpoint(
                self.folder / "best.safetensors", tensors, Description(spec, self.recipe, training)
            )
        self.progress.finished = True
        self.save_last()

    def save_last(self) -> None:
        """The whole state, for resuming."""
        self.state.save(self.folder / "last.safetensors", self.spec, self.recipe, self.training_summary())

    def save_best(self, figures: dict[str, Any]) -> None:
        """The averaged weights alone, for export and evaluation."""
        tensors = prefixed("model.", self.state.best_guess.state_dict())
        training = {**self.training_summary(), **figures}
        save_checkpoint(
            self.folder / "best.safetensors", tensors, Description(self.spec, self.recipe, training)
        )

    def training_summary(self) -> dict[str, Any]:
        """What the checkpoint says of its making."""
        return {
            "data": self.train_data.name,
            "images": len(self.train_data.samples),
            "epochs": self.progress.epoch,
            "seconds": round(self.progress.seconds, 1),
            "torch": str(torch.__version__),
        }

    @contextmanager
    def stopping_at_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM ask for a stop after the current step; a second one interrupts at once."""

        def ask(number: int, frame: object) -> None:
            if self.stop_asked:
                raise KeyboardInterrupt
            self.stop_asked = True

        before: dict[int, Callable[..., Any] | int | None] = {}
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            before[number] = signal.signal(number, ask)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def margins_seen(recipe: Recipe) -> list[float]:
    """Box margins at which training has shown the object, that of the recipe first."""
    within = [step for step in MARGIN_STEPS if 1 / (1 + recipe.scale) <= step <= 1 + recipe.scale]
    return [round(recipe.box_margin * step, 4) for step in within]


def make_folder(folder: Path) -> None:
    """The run folder, before any time is spent on training; raises CokeError if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.csv").touch()
    except OSError as error:
        raise CokeError(
            f"cannot write into the run folder {folder}: {error.strerror}; choose another --out"
        ) from None


def make_fabric(devices: int, accelerator: str) -> Fabric:
    """The engine, on one device. Raises CokeError for several, or for one that this machine does not have."""
    if devices != 1:  # each would see the same batches, and have banks of its own
        raise CokeError(
            f"training runs on one device, not on {devices}: leave --devices at 1; "
            "CUDA_VISIBLE_DEVICES chooses among several GPUs"
        )
    try:
        # Mixed precision is the model's own matter: Fabric's would round the labels too.
        return Fabric(accelerator=accelerator, devices=devices)
    except (ValueError, RuntimeError, ImportError) as error:
        raise CokeError(
            f"this machine has no {accelerator!r} to train on: use --accelerator auto or cpu"
        ) from error


def rules_tried(recipe: Recipe, model: Method) -> tuple[Rule, ...]:
    """The score rules to choose from, the plainest first. Raises CokeError if the recipe's is none of the method's."""
    if recipe.rule == "auto":
        return model.rules
    if recipe.rule not in model.rules:
        raise CokeError(
            f"the rule {recipe.rule} needs a clutter bank, which the method {recipe.method} does not have: "
            "leave --rule at auto"
        )
    return (recipe.rule,)


def initial_spec(recipe: Recipe, model: Method, data: KeypointDataset) -> ModelSpec:
    """The model's description before calibration."""
    mean, std = ((float(a), float(b), float(c)) for a, b, c in (model.mean.tolist(), model.std.tolist()))
    red, green, blue = (round(255 * value) for value in mean)
    return ModelSpec(
        keypoints=data.keypoints,
        input=InputSpec(recipe.width, recipe.height, recipe.box_margin, (blue, green, red), mean, std),
        stride=model.stride,
        head=HeadSpec(
            rule=rules_tried(recipe, model)[0],
            temperature=recipe.temperature,
            clutter_weight=recipe.clutter_weight,
        ),
    )

"""The training loop: epochs, averaged weights, validation, checkpoints, and a clean stop at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from coke_edge.errors import CokeError
from coke_edge.train.batch import Batch
from coke_edge.train.crops import batches
from coke_edge.train.data.sample import KeypointDataset
from coke_edge.train.method import Losses
from coke_edge.train.preparation import prepare
from coke_edge.train.processes import Processes
from coke_edge.train.recipe import Recipe
from coke_edge.train.run_log import RunLog
from coke_edge.train.schedule import set_rates
from coke_edge.train.state import Progress
from coke_edge.train.stop_signals import StopSignals
from coke_edge.train.synced_batchnorm import synchronise_batchnorm

Item = TypeVar("Item")


class Watcher(Protocol):
    """Who looks on while a run goes (the command line's progress bar)."""

    def step(self, progress: Progress, steps_per_epoch: int, loss: float) -> None: ...

    def epoch(self, progress: Progress, losses: Losses, pck: float | None) -> None: ...


class Trainer:
    """One run. Its folder holds best.safetensors, last.safetensors, metrics.csv, tensorboard/ and pictures.

    Of several processes each has one of these: they read their own images of every batch and hold the same weights
    and banks; the first one alone validates, writes, and has a watcher.
    """

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
        processes: Processes | None = None,
    ) -> None:
        if not train.samples:
            raise CokeError(f"{train.name} has no training samples: check its path and its parameters.")
        self.recipe, self.train_data, self.val_data, self.folder = recipe, train, val, folder
        self.watcher = watcher
        self.processes = processes or Processes(devices, accelerator)
        self.fabric = self.processes.fabric
        self.signals = StopSignals(patient=self.processes.count > 1)
        task = (recipe, len(train.samples), train.keypoints)
        self.processes.require_same(task, "recipe and training images")
        with self.processes.together():
            self.files, self.validation, self.state, self.loader = prepare(
                recipe, train, val, folder, self.processes, resume=resume
            )
        if self.processes.count > 1:  # not the averaged copy, which validates without the others
            synchronise_batchnorm(self.state.model, self.fabric.device)
        self.model, self.optimizer = self.fabric.setup(self.state.model, self.state.optimizer)

    @property
    def progress(self) -> Progress:
        """Where the run stands."""
        return self.state.progress

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one epoch."""
        return len(self.loader)

    @property
    def complete(self) -> bool:
        """Whether the recipe's epochs are done, or `patience` validations have brought no gain."""
        stale = bool(self.recipe.patience) and self.progress.stale >= self.recipe.patience
        return self.progress.epoch >= self.recipe.epochs or stale

    @property
    def stop_asked(self) -> bool:
        """Whether a signal has asked for a stop."""
        return self.signals.asked

    def fit(self, stop_after: int | None = None) -> Progress:
        """Train to the end, to a signal, or until `stop_after` epochs are done; the state is saved either way.

        Raises CokeError if the training diverges, if data cannot be read, or if another process of the run is lost.
        """
        until = self.recipe.epochs if stop_after is None else stop_after
        with self.processes.meeting(), self.signals.noted():
            self.train_until(until)
            if not self.stopping() and self.complete and not self.progress.finished:
                with suppress(KeyboardInterrupt):  # the training is saved: a resumed run calibrates again
                    self.finish()
        return self.progress

    def train_until(self, epoch: int) -> None:
        """Epochs, until so many are done, the run is complete, or a stop is asked for."""
        log: RunLog | None = None
        with self.processes.together():
            if self.processes.first:
                log = RunLog(self.folder, self.progress.epoch)
                if not self.files.last.exists():  # from here on there is something to resume
                    self.files.save_last(self.state)
        try:
            while not (self.stopping() or self.complete or self.progress.epoch >= epoch):
                losses = self.run_epoch()
                if losses is None:
                    break
                self.end_epoch(losses, log)
        finally:
            if log:
                log.close()

    def stopping(self) -> bool:
        """Whether any process has been asked to stop: then all are."""
        common = self.processes.any(self.signals.asked)
        if common:  # never back to False: a signal may have come while the others answered
            self.signals.asked = True
        return common

    def run_epoch(self) -> Losses | None:
        """One pass over the training crops: mean losses, or None if a signal cut it (the state is saved)."""
        sampler: Any = self.loader.batch_sampler
        sampler.epoch, sampler.skip = self.progress.epoch, self.progress.batch
        self.model.train()
        start = time.monotonic()
        for batch in self.read_together(batches(self.loader)):
            losses = self.step(batch.to(self.fabric.device))
            self.progress.add(losses.tolist())
            if self.watcher:
                self.watcher.step(self.progress, self.steps_per_epoch, float(losses[0]))
            if self.stopping() and self.progress.batch < self.steps_per_epoch:
                break
        self.progress.seconds += time.monotonic() - start
        if self.progress.batch < self.steps_per_epoch:
            self.save_last()
            return None
        return Losses(*torch.tensor(self.progress.end_epoch()))

    def read_together(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items; what reading one raises in one process, all raise."""
        iterator = iter(items)
        while True:
            with self.processes.together():
                item = next(iterator, None)
            if item is None:
                return
            yield item

    def step(self, batch: Batch) -> Tensor:
        """One optimiser step on this process's part of a batch; the `Losses` [5] of the whole batch."""
        total = self.recipe.epochs * self.steps_per_epoch
        done = self.progress.epoch * self.steps_per_epoch + self.progress.batch
        set_rates(self.optimizer, done / total, self.recipe)
        losses: Losses = self.model(batch)
        values = self.processes.mean(torch.stack(losses).detach())
        self.require_finite(float(values[0]), "loss")
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(losses.total)
        if self.recipe.clip:
            norm = self.fabric.clip_gradients(
                self.model, self.optimizer, max_norm=self.recipe.clip, error_if_nonfinite=False
            )
            assert norm is not None
            self.require_finite(float(norm), "gradient")
        self.optimizer.step()
        self.state.averaged.update(self.state.model)
        return values

    def require_finite(self, value: float, what: str) -> None:
        """Raises CokeError if the training has diverged; `value` is the same in every process."""
        if not math.isfinite(value):
            raise self.processes.common(
                CokeError(
                    f"The {what} became {value} in epoch {self.progress.epoch + 1}: lower --lr, or look at the data "
                    "with `coke-edge data check`. The checkpoints so far are kept."
                )
            )

    def end_epoch(self, losses: Losses, log: RunLog | None) -> None:
        """Validate when due, write the numbers down, save."""
        with self.processes.together():
            if self.processes.first and log:
                self.record_epoch(losses, log)
        self.state.progress = self.processes.from_first(self.progress)

    def record_epoch(self, losses: Losses, log: RunLog) -> None:
        """The first process's part of `end_epoch`."""
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
        self.files.save_last(self.state)
        if self.watcher:
            self.watcher.epoch(self.progress, losses, pck)

    def validate(self) -> float:
        """PCK [%] of the averaged weights on the validation set; a new best is kept, a picture drawn."""
        return self.validation.measure(self.state)

    def finish(self) -> None:
        """Choose the score rule and calibrate visibility for the best weights; write them with their figures."""
        with self.processes.together(), self.signals.interrupting(allowed=self.processes.first):
            if self.processes.first:
                self.validation.finish(self.state)
        self.state.progress = self.processes.from_first(self.progress)

    def save_last(self) -> None:
        """The whole state, for resuming."""
        with self.processes.together():
            if self.processes.first:
                self.files.save_last(self.state)

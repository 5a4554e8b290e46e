"""The progress bar of a training run."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bar,
)

from coke_edge.train.method import Losses
from coke_edge.train.state import Progress


class ProgressBar:
    """One bar over all epochs with the time left; one line an epoch that was validated."""

    def __init__(self, console: Console, epochs: int) -> None:
        self.console, self.epochs = console, epochs
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self.task = self.bar.add_task("training", total=None, note="")

    def __enter__(self) -> ProgressBar:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def step(self, progress: Progress, steps_per_epoch: int, loss: float) -> None:
        """After every optimiser step."""
        self.bar.update(
            self.task,
            total=self.epochs * steps_per_epoch,
            completed=progress.epoch * steps_per_epoch + progress.batch,
            description=f"epoch {progress.epoch + 1}/{self.epochs}",
            note=f"loss {loss:.3f}"
            + (f" · best PCK {progress.best_pck:.1f}" if progress.best_pck >= 0 else ""),
        )

    def epoch(self, progress: Progress, losses: Losses, pck: float | None) -> None:
        """After every epoch."""
        if pck is not None:
            self.console.print(
                f"epoch {progress.epoch:4d}  loss {float(losses.total):.3f}"
                f"  PCK {pck:.1f}  best {progress.best_pck:.1f}"
            )

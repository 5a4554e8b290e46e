"""What a run writes down while it trains: a CSV for people, TensorBoard for those who have it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

FIELDS = (
    "epoch",
    "step",
    "seconds",
    "lr",
    "total",
    "contrastive",
    "repulsion",
    "dense",
    "presence",
    "pck",
    "best_pck",
)


class RunLog:
    """Appends one row an epoch, counted from 1, to `metrics.csv` and the same numbers to TensorBoard."""

    def __init__(self, folder: Path, epochs_done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / "metrics.csv"
        self.keep_rows_to(epochs_done)
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=epochs_done + 1)

    def keep_rows_to(self, epoch: int) -> None:
        """Drop the rows that a resumed run will write again."""
        rows = []
        if self.path.exists():
            with self.path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= epoch]
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(rows)

    def write(self, row: Mapping[str, float]) -> None:
        """One epoch's numbers; a missing field stays empty."""
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, FIELDS).writerow(
                {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
            )
        for name, value in row.items():
            if name not in ("epoch", "step"):
                self.board.add_scalar(name, value, int(row["epoch"]))

    def close(self) -> None:
        """Flush TensorBoard's file."""
        self.board.close()

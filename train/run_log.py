"""What a run writes down while it trains: a CSV for people, TensorBoard for those who have it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from coke_edge.errors import CokeError
from coke_edge.files import replacing

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
    "placement",
    "pck",
    "best_pck",
)
END = "\n"


class RunLog:
    """Appends one row an epoch, counted from 1, to `metrics.csv` and the same numbers to TensorBoard.

    A process may be killed at any moment: a row is written at once, before the checkpoint that knows of its epoch, and
    rows beyond the checkpoint are dropped when the run goes on. All methods raise CokeError if the disk refuses.
    """

    def __init__(self, folder: Path, epochs_done: int) -> None:
        """Raises CokeError if the folder holds a metrics.csv that no run has written."""
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / "metrics.csv"
        with self.writing():
            self.keep_rows_to(epochs_done)
            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=epochs_done + 1)

    def keep_rows_to(self, epoch: int) -> None:
        """Drop the rows that a resumed run will write again, and a torn one."""
        kept = [row for row in self.rows() if int(row[0]) <= epoch]
        with replacing(self.path) as file:
            file.write("".join(map(line, [FIELDS, *kept])).encode())

    def rows(self) -> list[list[str]]:
        """The whole rows of the file so far, as FIELDS; an older version may have written fewer of these."""
        try:
            text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
            header = next(csv.reader(text.splitlines()[:1]), ["epoch"])
            rows = list(csv.DictReader(io.StringIO(text[: text.rfind(END) + 1])))
            ours = (
                "epoch" in header
                and set(header) <= set(FIELDS)
                and all(int(row["epoch"]) > 0 for row in rows)
            )
        except (ValueError, TypeError, csv.Error):
            ours = False
        if not ours:
            raise CokeError(
                f"{self.path} was not written by a run, or it is damaged: move it away, or choose another --out"
            )
        return [[row.get(name) or "" for name in FIELDS] for row in rows]

    def write(self, row: Mapping[str, float]) -> None:
        """One epoch's numbers; a missing field stays empty."""
        values = [row.get(name, "") for name in FIELDS]
        with self.writing():
            with self.path.open("a", newline="") as file:
                file.write(line([f"{v:.6g}" if isinstance(v, float) else str(v) for v in values]))
                file.flush()
                os.fsync(file.fileno())
            for name, value in row.items():
                if name not in ("epoch", "step"):
                    self.board.add_scalar(name, value, int(row["epoch"]))
            self.board.flush()  # before the checkpoint that will not have them written again

    def close(self) -> None:
        """Flush TensorBoard's file."""
        with self.writing():
            self.board.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What the disk refuses in the block comes as CokeError."""
        try:
            yield
        except OSError as error:
            raise CokeError(
                f"cannot write {self.path} or tensorboard/ beside it: {error.strerror or error}"
            ) from None


def line(values: Iterable[str]) -> str:
    """A row of the CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator=END).writerow(values)
    return out.getvalue()

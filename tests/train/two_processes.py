"""What each of two processes does in `test_distributed`: started by torchrun, with a folder and a data set."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from coke_edge.errors import CokeError, DataError
from coke_edge.train.data import load_dataset
from coke_edge.train.distributed import gather_rows, total
from coke_edge.train.loss import mean_or_zero
from coke_edge.train.processes import Processes
from coke_edge.train.recipe import Recipe, make_recipe
from coke_edge.train.synced_batchnorm import CpuSyncBatchNorm
from coke_edge.train.trainer import Trainer


def small(**keys: object) -> Recipe:
    """Every way in which features reach the banks; the backbone's BatchNorm is trained."""
    base = {
        "backbone": "test_efficientnet", "pretrained": "none", "width": 64, "height": 64, "channels": 16, "context": 1,
        "epochs": 2, "batch_size": 4, "workers": 0, "eval_every": 2, "clutter_size": 48, "prototypes": "both",
        "clutter_hard": True, "fold_batchnorm": False, "freeze_to_stride": 0, "warmup": 0.0, "scale": 0.0,
        "rule": "log_odds",
    }  # fmt: skip
    return make_recipe("edge", **{**base, **keys})


def make_trainer(data: str, folder: Path, processes: Processes | None = None, **keys: Any) -> Trainer:
    resume = bool(keys.pop("resume", False))
    splits = load_dataset(data, "train"), load_dataset(data, "val")
    return Trainer(small(**keys), *splits, folder, resume=resume, accelerator="cpu", processes=processes)


def stop_at(trainer: Trainer, epoch: int, batch: int) -> None:
    """SIGTERM for this process in a step."""
    step = trainer.step

    def stopping(*arguments: Any) -> torch.Tensor:
        if (trainer.progress.epoch, trainer.progress.batch) == (epoch, batch):
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*arguments)

    trainer.step = stopping  # type: ignore[method-assign]


def parts(rank: int) -> dict[str, bool]:
    """Sums, rows, means and BatchNorm over two processes, against one that has everything."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(5, 3, generator=generator)
    own = rows[:5] if rank == 0 else rows[5:]  # all and nothing
    uneven = rows[:2] if rank == 0 else rows[2:]
    weight = torch.ones(3, requires_grad=True)
    loss = mean_or_zero((uneven * weight).sum(1), weight)
    loss.backward()
    assert weight.grad is not None
    images = torch.randn(4, 3, 5, 6, generator=generator) + 3.0
    plain, mine = nn.BatchNorm2d(3), images[2 * rank : 2 * rank + 2].clone().requires_grad_()
    images.requires_grad_()
    synced = CpuSyncBatchNorm(nn.BatchNorm2d(3))
    theirs, ours = plain(images), synced(mine)
    theirs.square().sin().sum().backward()
    ours.square().sin().sum().backward()
    close = torch.allclose
    return {
        "gather": torch.equal(gather_rows(own), rows) and torch.equal(gather_rows(uneven), rows),
        "gather of nothing": gather_rows(rows[:0]).shape == (0, 3),
        "total": float(total(torch.tensor(rank + 1.0))) == 3.0,
        "mean": close(total(loss.detach()) / 2, rows.sum(1).mean(), atol=1e-6),
        "gradient of the mean": close(total(weight.grad) / 2, rows.mean(0), atol=1e-6),
        "mean of nothing": float(mean_or_zero(rows[:0, 0], weight)) == 0.0,
        "batchnorm": close(ours, theirs[2 * rank : 2 * rank + 2], atol=1e-5),
        "its gradient": close(mine.grad, images.grad[2 * rank : 2 * rank + 2], atol=1e-5),  # type: ignore[arg-type, index]
        "its statistics": close(synced.running_mean, plain.running_mean, atol=1e-6)  # type: ignore[arg-type]
        and close(synced.running_var, plain.running_var, atol=1e-5),  # type: ignore[arg-type]
        "its weights": close(total(synced.weight.grad), plain.weight.grad, atol=1e-4),  # type: ignore[arg-type]
    }


def sentence(work: Any) -> str:
    """What an error says, with its kind."""
    try:
        work()
    except CokeError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def unreadable(processes: Processes) -> None:
    with processes.together():
        if processes.rank == 1:
            raise DataError("cut.png is truncated")


def diverging(trainer: Trainer, rank: int) -> None:
    if rank == 1:
        with torch.no_grad():
            next(iter(trainer.state.model.neck.parameters())).fill_(float("nan"))
    trainer.fit()


def main() -> None:
    folder, data = Path(sys.argv[1]), sys.argv[2]
    processes = Processes(2, "cpu")
    rank = processes.rank
    results: dict[str, Any] = {"parts": parts(rank)}

    run = make_trainer(data, folder / "two", processes)
    results["whole"] = [run.fit().finished, run.progress.epoch]
    state = run.state.model.state_dict()
    torch.save(state, folder / f"state{rank}.pt")

    results["resumed"] = make_trainer(data, folder / "one, then two", processes, resume=True).fit().finished
    cut = make_trainer(data, folder / "two, then one", processes)
    if rank == 1:
        stop_at(cut, 1, 0)
    progress = cut.fit()
    results["cut"] = [progress.epoch, progress.batch, cut.stop_asked]

    results["unreadable"] = sentence(lambda: unreadable(processes))
    results["indivisible"] = sentence(lambda: make_trainer(data, folder / "odd", processes, batch_size=3))
    results["different"] = sentence(lambda: make_trainer(data, folder / "odd", processes, seed=rank))
    results["diverged"] = sentence(lambda: diverging(make_trainer(data, folder / "nan", processes), rank))
    if rank == 0:
        signal.signal(
            signal.SIGTERM, signal.SIG_IGN
        )  # torchrun's, when the other has died: there is more to write
        results["lost"] = sentence(lambda: make_trainer(data, folder / "lost", processes).fit())
    else:
        (folder / "1.json").write_text(json.dumps(results))
        dying = make_trainer(data, folder / "lost", processes)
        dying.step = lambda batch: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign, assignment, return-value]
        dying.fit()
    (folder / "0.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()

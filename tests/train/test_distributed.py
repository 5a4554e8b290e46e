"""Two processes are one: the same run, whoever starts it and whoever goes on with it, and the same end."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from coke_edge.errors import CokeError
from coke_edge.train.checkpoint import load_checkpoint, read_checkpoint
from coke_edge.train.data.generated import write_generated
from coke_edge.train.devices import layout
from coke_edge.train.distributed import gather_rows, process_count, total
from coke_edge.train.processes import Processes

SCRIPT = Path(__file__).with_name("two_processes.py")
TOLERANCE = 1e-3  # of every tensor, relative to its largest entry: sums of float32 in another order
UNDETERMINED = ("norm1.bias", "bn3.bias", "blocks.2.0.bn2.bias", "running_mean")


def script() -> ModuleType:
    """The script as a module, for what one process does alone."""
    spec = importlib.util.spec_from_file_location("two_processes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """What two processes have done, and one before and after them; the folder and what each has said."""
    folder = tmp_path_factory.mktemp("both")
    data = f"coco:{write_generated(folder / 'data', count=12, seed=0)}"
    alone = script()
    alone.make_trainer(data, folder / "one").fit()
    first = alone.make_trainer(data, folder / "one, then two")
    alone.stop_at(first, 1, 0)
    first.fit()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(SCRIPT), str(folder), data]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (folder / "0.json").exists(), done.stderr
    alone.make_trainer(data, folder / "two, then one", resume=True).fit()
    return folder, [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_sums_rows_means_and_batchnorm(both: tuple[Path, list[dict[str, Any]]]) -> None:
    for result in both[1]:
        assert [name for name, right in result["parts"].items() if not right] == []


def test_every_process_holds_the_same_weights_and_banks(both: tuple[Path, list[dict[str, Any]]]) -> None:
    states = [torch.load(both[0] / f"state{rank}.pt", weights_only=True) for rank in range(2)]
    assert {"keypoint_bank.mean", "clutter_bank.rows", "keypoint_bank.weight"} <= states[0].keys()
    assert [name for name in states[0] if not torch.equal(states[0][name], states[1][name])] == []


@pytest.mark.parametrize("name", ["two", "one, then two", "two, then one"])
def test_it_is_the_run_of_one_process(both: tuple[Path, list[dict[str, Any]]], name: str) -> None:
    folder, _ = both
    for file in ("last", "best"):
        expected, _ = read_checkpoint(folder / "one" / f"{file}.safetensors")
        found, description = read_checkpoint(folder / name / f"{file}.safetensors")
        assert found.keys() == expected.keys()
        errors = {key: error(found[key], expected[key]) for key in expected if determined(key)}
        assert {key: value for key, value in errors.items() if value > TOLERANCE} == {}
        assert description.progress.get("finished", True)
    assert description.spec.visibility is not None
    crop = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    ours, theirs = (load_checkpoint(folder / run) for run in (name, "one"))
    assert ours.spec.head == theirs.spec.head
    maps = [best.model.score_maps(crop, best.spec.head).similarity for best in (ours, theirs)]
    assert error(*maps) < TOLERANCE
    ours_log, their_log = (list(csv.DictReader((folder / r / "metrics.csv").open())) for r in (name, "one"))
    assert [int(row["epoch"]) for row in ours_log] == [int(row["epoch"]) for row in their_log] == [1, 2]
    for a, b in zip(ours_log, their_log, strict=True):
        assert float(a["total"]) == pytest.approx(float(b["total"]), rel=TOLERANCE)


def determined(name: str) -> bool:
    """Whether anything but rounding decides a tensor.

    What is added before a BatchNorm, which takes the mean away again, has no gradient but rounding errors, and Adam
    makes full steps of those; the mean that the BatchNorm keeps goes with it.
    """
    return not name.endswith(UNDETERMINED)


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference of two tensors, relative to the largest entry (at least 1e-4)."""
    difference = (found.double() - expected.double()).abs().max()
    return float(difference / expected.double().abs().max().clamp_min(1e-4))


def test_they_stop_and_fail_together_and_the_first_one_speaks(
    both: tuple[Path, list[dict[str, Any]]],
) -> None:
    first, second = both[1]
    assert first["whole"] == second["whole"] == [True, 2]
    assert first["resumed"] is second["resumed"] is True
    assert first["cut"] == second["cut"] == [1, 1, True]
    assert first["unreadable"] == "DataError: rank 1: cut.png is truncated"
    assert first["indivisible"].startswith("CokeError: 2 processes cannot share a batch of 3 images equally")
    assert first["different"].startswith("CokeError: the processes of this run do not have the same recipe")
    assert first["diverged"].startswith("CokeError: The loss became nan in epoch 1")
    for name in ("unreadable", "indivisible", "different", "diverged"):
        assert second[name] == "ToldByFirstError: " + first[name].partition(": ")[2]
    assert first["lost"].startswith("CokeError: rank 0 of 2 has lost another process of this run")


def test_one_process_has_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(3, 2)
    assert process_count() == 1
    assert gather_rows(rows) is rows
    assert total(rows) is rows
    alone = Processes(1, "cpu")
    assert (alone.rank, alone.count, alone.first) == (0, 1, True)
    with pytest.raises(CokeError, match=r"^plain$"), alone.together():
        raise CokeError("plain")
    with pytest.raises(RuntimeError, match="gloo"), alone.meeting():
        raise RuntimeError("gloo")


def test_devices_are_those_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert layout(3) == (3, 1)
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert layout(1) == layout(2) == (2, 3)
    with pytest.raises(CokeError, match="started 2 processes on this machine, but --devices says 3"):
        layout(3)
    monkeypatch.setenv("WORLD_SIZE", "5")
    with pytest.raises(CokeError, match="give every machine the same --nproc-per-node"):
        layout(1)

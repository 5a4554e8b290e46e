"""The search for the fastest tiles, on a machine that is made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from coke_edge.benchmarks.gpu_check import report, tune
from coke_edge.benchmarks.gpu_check.rows import MEASURED, Options
from coke_edge.kernels import plan

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, on NaN, in the interpreter

SMALL = Options(device="interpreter")


class Alternating:
    """A machine on which the second tile that it is given is the fastest."""

    device, cache_bytes = "cpu", 0
    given = 0

    def sampler(self, calls: Any) -> Any:
        self.given += 1
        fastest = self.given == 3  # two cuts belong to the first tile
        calls[0]()
        return lambda: 1.0 if fastest else 2.0

    def extra_memory(self, call: Any) -> None:
        return None

    def ceilings(self) -> None:
        return None


def test_tuning_finds_the_fastest_tile(tmp_path: Path) -> None:
    (found,) = tune.rows(SMALL, Alternating())
    assert found["status"] == MEASURED
    assert (found["best_ms"], found["default_ms"], found["tried"]) == (1.0, 2.0, 6)
    kept = report.Report(tmp_path, ["environment", "tune"])
    kept.add("tune", found)
    (tile,) = json.loads((tmp_path / "tiles.json").read_text())["tiles"]
    known = json.loads(plan.TABLE.read_text())["tiles"][0]
    assert tile.keys() == known.keys()
    assert found["best"].startswith(f"{tile['block_cells']}×{tile['block_rows']}×{tile['block_channels']}")
    assert "time of the default" in (tmp_path / "gpu-check.md").read_text()


def test_every_share_of_the_tiles_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    size = tune.Size(height=4, width=4, channels=32, rows=70, keypoints=2)
    done: list[tune.Cut] = []

    def respond(inputs: Any, cut: tune.Cut) -> None:
        done.append(cut)
        if len(done) == 2:
            raise RuntimeError("out of shared memory")  # stops no other

    monkeypatch.setattr(tune, "respond", respond)
    for first in range(3):
        tune.compile_share([size], torch.float16, first, 3, "cpu")
    tiles = tune.tiles_of(tune.random_inputs(size, "cpu"))[1]
    assert len(done) == len(tiles)
    assert {tile for tile, _ in done} == set(tiles)


def test_a_tile_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right, calls = tune.maps, []

    def maps(inputs: Any, cut: tune.Cut) -> Any:
        calls.append(cut)
        similarity, response = right(inputs, cut)
        return similarity, response + (0.1 if len(calls) == 3 else 0)  # the first is the default's

    monkeypatch.setattr(tune, "maps", maps)
    (found,) = tune.rows(SMALL, Alternating())
    assert list(found["refused"].values()) == ["ValueError: its maps are not those of the default tile"]

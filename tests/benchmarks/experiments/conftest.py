"""Runs and results that are made up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from coke_edge.benchmarks.experiments.definition import Run, Test, training
from coke_edge.benchmarks.experiments.result import Level, Result, Trained

TINY = {"backbone": "test_efficientnet", "pretrained": "none", "width": 64, "height": 64, "channels": 16, "context": 1,
        "batch_size": 8, "clutter_size": 64, "workers": 0, "eval_every": 0}  # fmt: skip


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """A run of a few seconds on generated data in `{data}`."""

    def make(name: str = "coke", seed: int = 0, *, levels: tuple[str, ...] = ("L0",), **keys: Any) -> Run:
        data = "coco:{data}/parts/annotations.json"
        occluders = "{data}/photos" if levels != ("L0",) else None
        return Run(
            group="tiny",
            name=name,
            seed=seed,
            training=training(data, "edge", seed, **{**TINY, "epochs": 2, **keys}),
            test=Test(parts={"": data}, levels=levels, occluders=occluders),
        )

    return make


@pytest.fixture
def make_result() -> Callable[..., Result]:
    """A result of a run, with the same figures at every part and level unless `pck` or `auroc` give them by level."""

    def make(
        run: Run, pck: dict[str, float] | float = 50.0, auroc: dict[str, float] | float = 0.75
    ) -> Result:
        return Result(
            run=run,
            digest=run.digest,
            trained=Trained(
                objects=80, steps=20, epochs=2, seconds=60.0, val_pck={}, parameters=1_500_000, rule="similarity",
                box_margin=1.35, null_class=True,
            ),
            figures={
                part: {name: make_level(at(pck, name), at(auroc, name)) for name in run.test.levels}
                for part in run.test.parts
            },
            test_seconds=30.0,
            machine={"cpu": "Made-up CPU", "cores": 2, "gpu": None},
            versions={"python": "3.11"},
            taken="2026-01-01T00:00:00Z",
        )  # fmt: skip

    return make


def at(value: dict[str, float] | float, level: str) -> float:
    return value[level] if isinstance(value, dict) else value


def make_level(pck: float, auroc: float) -> Level:
    figures: dict[str, float | None] = {"0.1": pck, "0.2": pck}
    return Level(
        objects=10, keypoints=100, covered=20, normaliser="torso", pck=figures, left_right_forgiven=figures,
        keypoint_mean=figures, per_keypoint={"tip": pck}, per_category={"": pck}, covered_auroc=auroc,
        visibility_auroc=auroc, object_share=0.3, unmet=0,
    )  # fmt: skip

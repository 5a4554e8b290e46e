"""The trial slows down what it says, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from coke_edge.benchmarks import compare_trial
from coke_edge.benchmarks.bench import graph_profile
from coke_edge.benchmarks.bench.settings import Settings
from coke_edge.benchmarks.bench.steady import Rule

SHORT = Settings(
    "demo",
    backends=("onnxruntime",),
    precisions=("fp32",),
    threads=(1,),
    modes=("back to back",),
    seconds=0.01,
    cold=0,
    rule=Rule(calls=2, seconds=0.0, windows=2, most_seconds=0.2),
    slices=8,
    least=2,
)


@pytest.fixture(autouse=True)
def _short_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_profile, "RUNS", 2)


def test_one_stage_is_slower_by_the_share() -> None:
    peaks = object()
    inner = SimpleNamespace(
        name="fake", precision="fp32", stages=lambda frame, crops: (peaks, {"warp": 2.0, "network": 5.0})
    )
    slower = compare_trial.Slower(inner, "warp", 0.5)
    found, parts = slower.stages(None, [])  # type: ignore[arg-type]
    assert found is peaks
    assert parts["warp"] >= 3.0
    assert parts["network"] == 5.0


@pytest.mark.parametrize("share", [0.0, 50.0])
def test_a_trial_compares_two_copies(share: float) -> None:
    verdicts: Any = {v.what: v for v in compare_trial.trial(SHORT, "warp", share)}
    assert {"whole", "warp", "network"} <= verdicts.keys()
    assert (verdicts["warp"].ratio > 20) == bool(share)

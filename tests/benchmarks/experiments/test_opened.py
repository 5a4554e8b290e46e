"""The device on which a run's model is calibrated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coke_edge.benchmarks.experiments import opened
from coke_edge.benchmarks.experiments.definition import Run
from coke_edge.benchmarks.experiments.places import Places


class Model:
    """It knows where it is."""

    device = "cpu"

    def to(self, device: str) -> None:
        self.device = device


def test_a_model_is_calibrated_where_its_test_runs(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checkpoint: Any = SimpleNamespace(model=Model(), spec="before")
    seen: list[Any] = []
    monkeypatch.setattr(opened, "load_checkpoint", lambda folder: checkpoint)
    monkeypatch.setattr(opened, "chosen", lambda: ("fp32", "cuda"))
    monkeypatch.setattr(opened, "calibrated", lambda one, *_: seen.append(one.model.device) or "after")
    monkeypatch.setattr(opened, "open_backend", lambda one, *asked: (one.spec, *asked))
    monkeypatch.setattr(opened.Detector, "from_backend", lambda spec, backend: (spec, backend))
    found = opened.open_run(make_run(), Places(None, ""), tmp_path)
    assert seen == ["cuda"]
    assert found.detector == ("after", ("after", "fp32", "cuda"))

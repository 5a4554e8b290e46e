"""A run that is killed and resumed is the run that was not."""

from __future__ import annotations

from pathlib import Path

from coke_edge.benchmarks import kill_trial


def test_three_deaths_change_nothing() -> None:
    report = kill_trial.trial(times=3, epochs=3, seed=1)
    assert report["kills"] == 3
    assert report["differences"] == []


def test_what_was_half_written_is_found(tmp_path: Path) -> None:
    (tmp_path / ".best.0a0a0a0a.part.safetensors").touch()
    before = kill_trial.half_written(tmp_path)
    assert kill_trial.found(tmp_path, before) == "before the first checkpoint"
    (tmp_path / ".last.0b0b0b0b.part.safetensors").touch()
    assert kill_trial.found(tmp_path, before) == "writing last"
    (tmp_path / "last.safetensors").touch()
    assert kill_trial.found(tmp_path, kill_trial.half_written(tmp_path)) == "between two writes"

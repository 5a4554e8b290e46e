"""Results: whole or not there, and found again only by the definition that they were made with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from coke_edge.benchmarks.experiments.result import finished, read_result, write_result
from coke_edge.errors import CokeError


def test_a_result_is_read_as_it_was_written(make_run, make_result, tmp_path: Path) -> None:
    result = make_result(make_run(levels=("L0", "L1")), {"L0": 80.25, "L1": 70.0})
    write_result(tmp_path / result.run.file, result)
    assert read_result(tmp_path / result.run.file) == result
    assert json.loads((tmp_path / result.run.file).read_text())["figures"][""]["L0"]["pck"]["0.2"] == 80.25


def test_only_the_same_definition_is_finished(make_run, make_result, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    run = make_run()
    assert finished(run, (first, second)) is None
    write_result(second / run.file, make_result(run))
    assert finished(run, (first, second)) == make_result(run)
    assert finished(make_run(dense=0.5), (first, second)) is None
    write_result(first / run.file, make_result(make_run(dense=0.5)))  # an old one in the way
    assert finished(run, (first, second)) == make_result(run)


def test_a_write_that_fails_leaves_the_old_result(make_run, make_result, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "one.json"
    write_result(path, make_result(make_run()))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CokeError, match="No space left"):
        write_result(path, make_result(make_run(seed=1)))
    assert read_result(path).run.seed == 0
    assert [file.name for file in tmp_path.iterdir()] == ["one.json"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"kind": "experiment"'])
def test_what_is_no_result_says_so(text: str, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(text)
    with pytest.raises(CokeError, match=r"one\.json is no result"):
        read_result(path)

"""`coke-edge bench` and `coke-edge bench compare`, from the command line to files and exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from coke_edge.benchmarks.bench import modes
from coke_edge.benchmarks.bench.result import Result as Measured
from coke_edge.benchmarks.bench.result import Row, read_result, write_result
from coke_edge.cli import application
from coke_edge.errors import CokeError

SHORT = ["--seconds", "0.01", "--cold", "0", "--backends", "onnxruntime", "--threads", "1"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(application(), ["bench", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def measured(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """A run on the colour model, and the file that it wrote."""
    out = tmp_path_factory.mktemp("bench") / "new" / "folder"
    arguments = [bundle_path, *SHORT, "--fps", "100", "--out", out, "--report"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modes, "PACED_LEAD_IN", 0.02)
        patch.setattr(sys, "argv", ["coke-edge", "bench", *map(str, arguments)])
        return run(*arguments), out / "result.json"


def test_tables_for_people_and_a_file_for_programs(measured: tuple[Result, Path]) -> None:
    said, path = measured
    assert said.exit_code == 0, said.output
    result = read_result(path)
    assert [row.mode for row in result.rows] == ["back to back", "paced"]
    assert result.command.startswith("coke-edge bench ")
    assert "--fps 100" in result.command
    for text in (
        "colours.coke, input 96 × 64",
        "onnxruntime fp32",
        "paced, 100/s",
        "(draw)",
        "Timed: from",
    ):
        assert text in said.stdout
    assert "Not measured: " in said.stdout
    assert "<html" in (path.parent / "report.html").read_text()
    assert f"Next: coke-edge bench compare {path}" in said.stderr


def test_json_is_the_result(bundle_path: Path) -> None:
    said = run(bundle_path, *SHORT, "--modes", "back-to-back", "--json")
    assert said.exit_code == 0, said.output
    [row] = msgspec.json.decode(said.stdout.encode(), type=Measured).rows
    assert row.stages_ms["network"] > 0  # the colour model's head has no name of its own
    assert row.notes == [note for note in row.notes if "one graph" not in note]


def test_a_run_may_be_named(bundle_path: Path) -> None:
    assert "--fps" in run("--help").stdout
    assert "--fps" in run("run", "--help").stdout
    assert "--fail-if-slower" in run("compare", "--help").stdout


def slower(row: Row, factor: float) -> Row:
    """A row whose calls took longer, all of them and in every stage, on a machine that did nothing else."""
    return msgspec.structs.replace(
        row,
        sensors={},
        samples_ms=[factor * value for value in row.samples_ms],
        stage_samples_ms={
            name: [factor * v for v in values] for name, values in row.stage_samples_ms.items()
        },
    )


def test_two_results_compared(measured: tuple[Result, Path], tmp_path: Path) -> None:
    result = read_result(measured[1])
    path, other = tmp_path / "one.json", tmp_path / "other.json"
    for file, factor in ((path, 1.0), (other, 3.0)):
        rows = [slower(row, factor) for row in result.rows]
        write_result(msgspec.structs.replace(result, rows=rows), file)
    same = run("compare", path, path, "--fail-if-slower")
    assert same.exit_code == 0, same.output
    assert run("compare", path, other).exit_code == 0
    said = run("compare", path, other, "--fail-if-slower", "--json")
    assert said.exit_code == 1, said.output
    assert json.loads(said.stdout)
    assert "slower" in said.stdout
    assert run("compare", other, path, "--fail-if-slower").exit_code == 0


def test_two_models_in_turns(bundle_path: Path, tmp_path: Path) -> None:
    said = run(bundle_path, "--against", bundle_path, *SHORT, "--modes", "back-to-back", "--out", tmp_path)
    assert said.exit_code == 0, said.output
    assert "B against A" in said.stdout
    result, against = (read_result(tmp_path / name) for name in ("result.json", "against.json"))
    assert result.turns == against.turns is not None
    again = run("compare", tmp_path / "against.json", tmp_path / "result.json", "--json")
    assert {verdict["what"] for verdict in json.loads(again.stdout)} >= {"whole", "warp", "network", "decode"}


def test_what_was_not_measured_alike_is_refused(measured: tuple[Result, Path], tmp_path: Path) -> None:
    _, path = measured
    result = read_result(path)
    elsewhere = tmp_path / "elsewhere.json"
    machine = msgspec.structs.replace(result.machine, name="another")
    write_result(msgspec.structs.replace(result, machine=machine), elsewhere)
    said = run("compare", path, elsewhere)
    assert isinstance(said.exception, CokeError), said.output

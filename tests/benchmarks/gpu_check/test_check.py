"""The whole check: sections that break, hang or run out of time, their processes, the report and the command."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from coke_edge.benchmarks.gpu_check import __main__ as command
from coke_edge.benchmarks.gpu_check import check, process, report, sections, surroundings
from coke_edge.benchmarks.gpu_check.rows import FAILED, MEASURED, PASSED, SKIPPED, Options, Row, checked, row
from coke_edge.benchmarks.gpu_check.section import within
from coke_edge.benchmarks.gpu_check.sections import SECTIONS, Section

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, on NaN, in the interpreter

ROOT = Path(__file__).parents[3]
SMALL = Options(device="interpreter")


def made_up(name: str, rows: list[Row] | Exception, seconds: float = 10.0, timed: bool = False) -> Section:
    class MadeUp(Section):
        def rows(self, options: Options) -> Iterator[Row]:
            if isinstance(rows, Exception):
                raise rows
            yield from rows

    return MadeUp(name, "nowhere", seconds, timed)


def in_process(section: Section, options: Options, seconds: float, log: Path) -> Iterator[Row]:
    if section.name == SECTIONS[0].name:
        yield row(surroundings.GPU, MEASURED, found={"name": "a GPU"})
    else:
        yield from within(section, options, seconds)


def test_a_section_that_breaks_or_runs_out_of_time_says_so(capsys: Any) -> None:
    good = [checked(str(n), True) for n in range(5)]
    assert list(within(made_up("good", good), SMALL, 10)) == good
    found = list(within(made_up("broken", ValueError("no")), SMALL, 10))
    assert found == [{"name": "section", "status": FAILED, "error": "ValueError: no"}]
    now = iter(range(100))
    found = list(within(made_up("slow", good), SMALL, 2, clock=lambda: next(now)))
    assert [one["status"] for one in found] == [PASSED, PASSED, PASSED, "cut"]


def test_a_failing_section_stops_no_other_and_fails_the_check(tmp_path: Path, capsys: Any) -> None:
    chosen = [
        made_up("first", ValueError("it broke")),
        made_up("second", [checked("fine", True, error=1e-7)]),
        made_up("third", [row("a | b", SKIPPED, reason="not here")], timed=True),
    ]
    assert check.check(chosen, Options(), tmp_path, 100, 2, in_process) == 1
    written = json.loads((tmp_path / "gpu-check.json").read_text())
    assert written["failed"]
    assert [len(s["rows"]) for s in written["sections"].values()] == [1, 1, 1, 1]
    text = (tmp_path / "gpu-check.md").read_text()
    assert "| first | section | failed | error ValueError: it broke |" in text
    assert "| second | 1 | 0 | 0 | 0 | 1e-07 | 0 s |" in text
    assert "| third | a \\| b | skipped | reason not here |" in text
    assert check.check(chosen[1:], Options(), tmp_path, 100, 2, in_process) == 0


def test_without_a_gpu_nothing_is_checked(tmp_path: Path, capsys: Any) -> None:
    def nothing(section: Section, options: Options, seconds: float, log: Path) -> Iterator[Row]:
        assert section.name == "environment"
        yield row(surroundings.GPU, MEASURED, found={})

    assert check.check(SECTIONS[:4], Options(), tmp_path, 100, 2, nothing) == 2
    assert "no NVIDIA GPU" in capsys.readouterr().err


def test_a_process_that_cannot_start_stops_no_other(tmp_path: Path, capsys: Any) -> None:
    def run(section: Section, options: Options, seconds: float, log: Path) -> Iterator[Row]:
        if section.name == "first":
            raise OSError("no memory")
        yield from in_process(section, options, seconds, log)

    chosen = [made_up("first", []), made_up("second", [checked("fine", True)])]
    assert check.check(chosen, Options(), tmp_path, 100, 1, run) == 1
    assert "| second | 1 |" in (tmp_path / "gpu-check.md").read_text()


def test_no_time_left(tmp_path: Path, capsys: Any) -> None:
    chosen = [made_up("late", [checked("x", True)])]
    check.check(chosen, Options(), tmp_path, 1, 1, in_process)
    written = json.loads((tmp_path / "gpu-check.json").read_text())
    assert written["sections"]["late"]["rows"][0]["status"] == "cut"


def test_the_report_is_whole_after_every_row(tmp_path: Path) -> None:
    kept = report.Report(tmp_path / "deep", ["environment", "speed"])
    for n in range(3):
        kept.add("environment", row(f"row {n}", MEASURED, value=float("nan")))
        written = json.loads((tmp_path / "deep" / "gpu-check.json").read_text())
        assert len(written["sections"]["environment"]["rows"]) == n + 1
    assert written["sections"]["environment"]["rows"][0]["value"] == "nan"
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["gpu-check.json", "gpu-check.md"]


def test_a_process_that_dies_or_hangs_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text(
        '#!/bin/sh\necho \'{"name": "one", "status": "passed"}\'\n'
        'case "$3" in warp) kill -SEGV $$;; "torch operator") printf half;; *) sleep 60;; esac\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(process.sys, "executable", str(script))
    monkeypatch.setattr(process, "GRACE", 0.5)
    log = tmp_path / "log"
    dead = list(process.section_rows(sections.named("warp"), SMALL, 30, log))
    assert [one["status"] for one in dead] == [PASSED, FAILED]
    assert "-11" in dead[1]["error"]
    half = list(process.section_rows(sections.named("torch operator"), SMALL, 30, log))
    assert "not whole" in half[1]["error"]
    start = time.monotonic()
    hung = list(process.section_rows(sections.named("speed"), SMALL, 0.5, log))
    assert [one["status"] for one in hung] == [PASSED, FAILED]
    assert time.monotonic() - start < 20
    assert log.read_text().count("==") == 3


def test_triton_s_cache_leaves_a_home_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "TRITON_CACHE_DIR" not in process.surroundings(Options())
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    assert Path(process.surroundings(Options())["TRITON_CACHE_DIR"]).parent.is_dir()
    monkeypatch.setenv("TRITON_CACHE_DIR", "given")
    assert process.surroundings(Options())["TRITON_CACHE_DIR"] == "given"


def test_every_section_has_its_rows_and_all_fit_in_eight_minutes() -> None:
    for section in SECTIONS:
        if section.module in ("surroundings", "sanitizer", "speed"):
            assert list(section.rows(SMALL))
        else:
            assert isinstance(section.rows(SMALL), Iterator)
    side_by_side = max(s.seconds for s in SECTIONS[1:] if not s.timed)
    alone = sum(
        s.seconds for s in (SECTIONS[0], *SECTIONS) if (s.timed or s is SECTIONS[0]) and not s.asked_for
    )
    assert side_by_side + alone <= 480
    assert len({section.name for section in SECTIONS}) == len(SECTIONS)


@pytest.mark.parametrize("bare", [False, True], ids=["installed", "bare checkout"])
def test_the_command(bare: bool, tmp_path: Path) -> None:
    """From the root of a checkout nothing need be installed: `-S` leaves out what an editable install adds.

    What a device has besides numpy is not there either.
    """
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    if bare:
        missing = tmp_path / "missing"
        missing.mkdir()
        for name in ("msgspec", "cv2", "onnxruntime", "safetensors", "timm", "typer", "rich"):
            (missing / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r}, name={name!r})")
        environment["PYTHONPATH"] = os.pathsep.join([str(missing), sysconfig.get_paths()["purelib"]])
    python = [sys.executable, *(["-S"] if bare else [])]
    expected = (
        {"warp": [PASSED] * 4, "bench": [PASSED, *[MEASURED] * 3]} if bare else {"sanitizer": [SKIPPED] * 2}
    )
    asked = ["--device", "interpreter", "--out", str(tmp_path), "--only", *expected]
    found = subprocess.run(
        [*python, "-m", "coke_edge.benchmarks.gpu_check", *asked],
        capture_output=True, text=True, cwd=ROOT if bare else tmp_path, env=environment,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr + (tmp_path / "gpu-check.log").read_text()
    written = json.loads((tmp_path / "gpu-check.json").read_text())
    statuses = {name: [one["status"] for one in s["rows"]] for name, s in written["sections"].items()}
    assert statuses == {"environment": [MEASURED] * 6, **expected}
    assert "# GPU check" in found.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_command_without_a_gpu(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "coke_edge.benchmarks.gpu_check", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 2
    assert "There is no NVIDIA GPU that torch can use here" in found.stderr


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert command.main(["--out", str(file / "deep"), "--device", "interpreter"]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_tuning_runs_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[list[str]] = []
    monkeypatch.setattr(command, "check", lambda found, *_: chosen.append([s.name for s in found]) or 0)
    for arguments in ([], ["--tune"], ["--only", "tune"]):
        command.main(["--out", "x", *arguments])
    assert [("tune" in names, "speed" in names) for names in chosen] == [
        (False, True),
        (True, True),
        (True, False),
    ]


def test_options_travel_as_json() -> None:
    options = Options("interpreter", "somewhere")
    assert Options(**json.loads(json.dumps(dataclasses.asdict(options)))) == options

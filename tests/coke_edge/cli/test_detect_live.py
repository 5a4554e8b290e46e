"""`coke-edge detect` on live sources: what it writes, says and leaves behind."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from coke_edge.cli import detect
from coke_edge.errors import CokeError
from coke_edge.stream.sources import open_source

TEST = "test:?size=200x160&fps=50"
CODE = "from coke_edge.cli.detect import app; app()"


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(detect.app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def events(text: str) -> list[dict[str, Any]]:
    """Every line of a JSON log; it has nothing else."""
    return [json.loads(line) for line in text.splitlines()]


def test_all_sinks_at_once(bundle_path: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        names = ["o.jsonl", "o.csv", "o.json", "o.mp4", "latest.png", "all/"]
        uris = [f"{tmp_path}/{name}" for name in names] + [f"udp://127.0.0.1:{listener.getsockname()[1]}"]
        arguments = [part for uri in uris for part in ("--sink", uri)]
        result = run(bundle_path, "--source", TEST, *arguments, "--frames", 12, "--json")
        datagram = json.loads(listener.recv(65_536))
    report = json.loads(result.stdout)
    assert (report["frames"], report["ended"], report["reconnects"]) == (12, "frames", 0)
    assert report["sinks"] == uris
    assert 0 < report["age_ms"]["median"] < 1000
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    assert datagram["objects"] == lines[0]["objects"]
    assert len(list(csv.DictReader((tmp_path / "o.csv").open()))) == 36
    assert len(json.loads((tmp_path / "o.json").read_text())) == 12
    assert list(open_source(f"{tmp_path}/o.mp4"))


@pytest.mark.parametrize("options", [["--track"], ["--region", "track", "--no-smooth"], ["--max-age", "5"]])
def test_regions_and_smoothing(bundle_path: Path, tmp_path: Path, options: list[str]) -> None:
    run(bundle_path, "--source", TEST, "--sink", tmp_path / "o.jsonl", "--frames", 5, *options)
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 5


def test_the_summary_for_people(bundle_path: Path, tmp_path: Path) -> None:
    result = run(bundle_path, "--source", TEST, "--sink", tmp_path / "o.jsonl", "--duration", "0.5")
    assert "Age " in result.stdout
    assert "lost 0 times" in " ".join(result.stdout.split())
    assert "o.jsonl" in result.stdout


def test_the_log_for_machines(bundle_path: Path, tmp_path: Path) -> None:
    sink = tmp_path / "o.jsonl"
    options = ["--json-log", "--statistics", "0.2", "--duration", "1"]
    result = run(bundle_path, "--source", TEST, "--sink", sink, *options)
    found = events(result.stderr)
    assert [one["event"] for one in (found[0], found[1], found[-1])] == ["start", "statistics", "stop"]
    assert found[0]["live"] is True
    assert found[-1]["ended"] == "duration"
    assert found[-1]["frames"] >= found[-2]["frames"] > 0
    assert result.stdout == ""


def test_an_error_is_an_event_too(tmp_path: Path) -> None:
    result = run("none.coke", "--source", TEST, "--json-log", code=2)
    [error] = events(result.stderr)
    assert (error["event"], error["level"]) == ("error", "error")
    assert "none.coke" in error["message"]


def test_a_sink_that_does_not_work_at_the_end_is_an_exit_code(bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    sinks = ["--sink", f"{tmp_path}/file/o.jsonl", "--sink", tmp_path / "o.jsonl"]
    result = run(bundle_path, "--source", TEST, *sinks, "--frames", 8, "--json", code=1)
    report = json.loads(result.stdout)
    assert report["sinks_failed"] == [f"{tmp_path}/file/o.jsonl"]
    assert report["sinks_lost"] == {f"{tmp_path}/file/o.jsonl": 8}
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 8
    assert result.stderr.count("fails and will be tried again: cannot write") == 1


def test_a_live_source_has_a_page_by_default(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "PAGE", "udp://nowhere")
    with pytest.raises(CokeError, match="udp://nowhere"):
        run(bundle_path, "--source", TEST)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_live_run_and_a_second_is_not_needed(
    bundle_path: Path, tmp_path: Path, number: int
) -> None:
    """The source is a pipe that gives two frames and then nothing, so the run is waiting when the signal comes."""
    arguments = [
        bundle_path,
        "--source",
        "-?size=20x16",
        "--sink",
        tmp_path / "o.mp4",
        "--sink",
        "-",
        "--json-log",
    ]
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        process.stdin.write(bytes(2 * 20 * 16 * 3))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["index"] == 0
        assert json.loads(process.stdout.readline())["index"] == 1
        start = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) == 130
        assert time.monotonic() - start < 5
        found = events(process.stderr.read().decode())
    assert found[-1]["ended"] == "interrupt"
    assert len(list(open_source(f"{tmp_path}/o.mp4"))) == 2


def test_a_reader_of_stdout_that_leaves_ends_the_run_well(bundle_path: Path) -> None:
    command = [sys.executable, "-c", CODE, str(bundle_path), "--source", TEST, "--sink", "-", "--json-log"]
    command += ["--duration", "30"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 0
        found = events(process.stderr.read().decode())
    assert found[-1]["ended"] == "closed"


def test_under_systemd(bundle_path: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        command = [sys.executable, "-c", CODE, str(bundle_path), "--source", TEST]
        command += ["--sink", str(tmp_path / "o.jsonl"), "--duration", "1.5", "--json-log"]
        extra = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "900000"}
        done = subprocess.run(command, env=os.environ | extra, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        manager.setblocking(False)
        heard = []
        while not heard or heard[-1] != "STOPPING=1":
            heard.append(manager.recv(4096).decode())
    assert heard[0] == "READY=1"
    assert heard.count("WATCHDOG=1") >= 2

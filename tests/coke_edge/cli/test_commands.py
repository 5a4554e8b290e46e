"""The commands of the runtime, from their arguments to what they print and write."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from coke_edge.bundle import Bundle
from coke_edge.cli import demo, detect, info
from coke_edge.errors import BundleError, CokeError, DataError, StreamError
from coke_edge.stream.images import read_image, write_image
from coke_edge.stream.sources import open_source

BLOBS = {0: (45.0, 60.0), 1: (150.0, 70.0), 2: (100.0, 120.0)}


@pytest.fixture
def picture(tmp_path: Path, paint) -> Path:
    path = tmp_path / "in" / "blobs.png"
    write_image(path, paint(200, 160, BLOBS))
    return path


def run(app: typer.Typer, *arguments: object, code: int = 0):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def test_detect_on_a_picture(bundle_path: Path, picture: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(detect.app, bundle_path, "--source", picture)
    assert "● blue" in result.stdout
    assert "out/" in result.stdout
    assert "Latency" in result.stdout
    assert "Next: coke-edge detect" in result.stderr
    annotated = read_image(tmp_path / "out" / "blobs.png")
    assert annotated.shape == (160, 200, 3)
    assert (annotated != read_image(picture)).any()


def test_detect_reports_the_named_keypoints_alone(bundle_path: Path, picture: Path, tmp_path: Path) -> None:
    arguments = [bundle_path, "--source", picture, "--json", "--sink"]
    every, some = (
        json.loads(run(detect.app, *arguments, tmp_path / "o.csv", *more).stdout)["result"]["objects"][0]
        for more in ([], ["--keypoints", "red,b"])
    )
    assert [point["name"] for point in some["keypoints"]] == ["blue", "red"]
    assert some["keypoints"] == [every["keypoints"][k] for k in (0, 2)]
    assert (tmp_path / "o.csv").read_text().count("green") == 0
    with pytest.raises(CokeError, match="begins with 'gren', perhaps green is meant"):
        run(detect.app, *arguments, tmp_path / "o.csv", "--keypoints", "gren")


def test_detect_json_is_one_object(bundle_path: Path, picture: Path, tmp_path: Path) -> None:
    sinks = ["--sink", tmp_path / "o.jsonl", "--sink", tmp_path / "o.png"]
    result = run(detect.app, bundle_path, "--source", picture, *sinks, "--json")
    report = json.loads(result.stdout)
    assert report["frames"] == 1
    assert report["sinks"] == [str(sinks[1]), str(sinks[3])]
    assert report["latency_ms"]["median"] > 0
    found = [(k["x"], k["y"]) for k in report["result"]["objects"][0]["keypoints"]]
    np.testing.assert_allclose(found, [BLOBS[k] for k in range(3)], atol=2.5)
    assert json.loads((tmp_path / "o.jsonl").read_text()) == report["result"]


def test_detect_with_lines_on_stdout(bundle_path: Path, picture: Path) -> None:
    result = run(detect.app, bundle_path, "--source", picture.parent, "--sink", "-", "--box", "5,10,190,150")
    [line] = result.stdout.splitlines()
    assert json.loads(line)["objects"][0]["box"] == [5, 10, 190, 150]


def test_detect_limits(bundle_path: Path, tmp_path: Path, paint) -> None:
    for i in range(4):
        write_image(tmp_path / "in" / f"{i}.png", paint(100, 80, {0: (20.0 + 10 * i, 30.0)}))
    arguments = (bundle_path, "--source", tmp_path / "in", "--sink", tmp_path / "o.mp4", "--json")
    assert json.loads(run(detect.app, *arguments, "--frames", 2).stdout)["frames"] == 2
    assert json.loads(run(detect.app, *arguments).stdout)["frames"] == 4


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        (["--box", "1,2,3"], CokeError, "--box takes"),
        (["--box", "a,b,c,d"], CokeError, "--box takes"),
        (["--box", "9,9,1,1"], CokeError, "box"),
        (["--json", "--sink", "-"], CokeError, "standard output"),
        (["--sink", "x.xyz"], StreamError, "no sink"),
        (["--backend", "magic"], CokeError, "onnxruntime"),
    ],
)
def test_detect_refuses(
    bundle_path: Path, picture: Path, arguments: list[str], kind: type, sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        run(detect.app, bundle_path, "--source", picture, *arguments)


def test_detect_on_what_is_broken(bundle_path: Path, picture: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.coke"
    half.write_bytes(bundle_path.read_bytes()[: bundle_path.stat().st_size // 2])
    with pytest.raises(BundleError, match="cut short"):
        run(detect.app, half, "--source", picture)
    picture.write_bytes(picture.read_bytes()[:-20])
    with pytest.raises(DataError, match="truncated"):
        run(detect.app, bundle_path, "--source", picture, "--sink", tmp_path / "o.png")
    assert not (tmp_path / "o.png").exists()


def test_interrupted_detection_keeps_its_results(bundle_path: Path, picture: Path, tmp_path: Path) -> None:
    for i in range(2000):
        (picture.parent / f"{i:04d}.png").symlink_to(picture)
    code = "from coke_edge.cli.detect import app; app()"
    arguments = [bundle_path, "--source", picture.parent, "--sink", "-", "--sink", tmp_path / "o.mp4"]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate()
    lines = (first + rest).splitlines()
    assert process.returncode == 130, errors
    assert 1 <= len(lines) < 2000
    assert len(list(open_source(str(tmp_path / "o.mp4")))) == len(lines)


def test_info(bundle_path: Path) -> None:
    shown = run(info.app, bundle_path).stdout
    assert "colours" in shown
    assert "blue, green, red" in shown
    report = json.loads(run(info.app, bundle_path, "--json").stdout)
    assert report["sha256"] == Bundle(bundle_path).sha256
    assert report["manifest"]["model"]["keypoints"]["names"] == ["blue", "green", "red"]
    assert report["ran_on"] is None


def test_info_verify_runs_the_model(bundle_path: Path, tmp_path: Path, manifest, entries) -> None:
    from coke_edge.bundle import write_bundle

    assert json.loads(run(info.app, bundle_path, "--verify", "--json").stdout)["ran_on"] == "onnxruntime"
    broken = tmp_path / "broken.coke"
    write_bundle(broken, manifest, entries | {"model.fp32.onnx": b"no graph"})
    run(info.app, broken)
    with pytest.raises(CokeError, match="refuses"):
        run(info.app, broken, "--verify")


@pytest.fixture
def demo_is_colours(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coke_edge.bundle.demo_path", lambda: bundle_path)


@pytest.mark.usefixtures("demo_is_colours")
def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(demo.app)
    assert "demo.png" in result.stdout
    assert "median of 20 runs" in result.stdout
    assert "coke-edge detect demo" in result.stderr
    assert read_image("demo.png").shape == read_image(demo.packaged_picture()[0]).shape


@pytest.mark.usefixtures("demo_is_colours")
def test_demo_on_ones_own_picture(picture: Path, tmp_path: Path) -> None:
    result = run(demo.app, "--source", picture, "--out", tmp_path / "o.png", "--json")
    report = json.loads(result.stdout)
    found = [(k["x"], k["y"]) for k in report["keypoints"]]
    np.testing.assert_allclose(found, [BLOBS[k] for k in range(3)], atol=2.5)
    assert report["latency_ms"]["runs"] == 20
    assert (tmp_path / "o.png").is_file()


def test_the_packaged_picture_has_its_box_and_its_credit() -> None:
    path, (x0, y0, x1, y1) = demo.packaged_picture()
    height, width = read_image(path).shape[:2]
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["licence"]
    assert about["credit"]

"""From annotated photos to keypoints on a real picture, by the commands that users type."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from coke_edge.cli import application
from coke_edge.detector import Detector
from coke_edge.stream.images import read_image
from coke_edge.train.data import load_dataset
from coke_edge.train.evaluate import open_model

SMALL = "--backbone test_efficientnet --pretrained none --width 64 --height 64 --epochs 1 --workers 0 --batch-size 8"


def run(*arguments: str) -> str:
    """A command that succeeds; its standard output."""
    result = CliRunner().invoke(application(), list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.data
def test_cars_from_photos_to_keypoints(data_root: Path, tmp_path: Path) -> None:
    data = f"pascal3d:{data_root}/PASCAL3D+_release1.1?category=car"
    folder, bundle = tmp_path / "run", tmp_path / "car.coke"
    run("train", "--data", data, "--out", str(folder), *SMALL.split())
    run("export", str(folder), "-o", str(bundle), "--count", "20")

    by_torch = json.loads(run("eval", str(folder), "--data", data, "--split", "test", "--json"))
    by_onnx = json.loads(run("eval", str(bundle), "--data", data, "--split", "test", "--json"))
    assert by_torch["normaliser"] == by_onnx["normaliser"] == "box"
    assert by_torch["objects"] == 38
    assert len(by_onnx["per_keypoint"]) == 12
    assert abs(by_torch["pck"]["0.1"] - by_onnx["pck"]["0.1"]) <= 0.1

    torch, onnx = open_model(str(folder)), Detector(bundle)
    for sample in list(load_dataset(data, "test").samples)[:10]:
        frame = read_image(sample.image)
        np.testing.assert_allclose(onnx(frame, sample.box).xy, torch(frame, sample.box).xy, atol=0.05)

    lines = tmp_path / "cars.jsonl"
    sample = load_dataset(data, "test").samples[0]
    box = ",".join(f"{v:.0f}" for v in sample.box)
    run("detect", str(bundle), "--source", str(sample.image), "--box", box, "--sink", str(lines))
    (line,) = lines.read_text().splitlines()
    assert sample.image.name in line


@pytest.mark.data
@pytest.mark.slow
def test_the_demo_model_is_as_good_as_its_card_says(data_root: Path) -> None:
    """All 1,000 test images of LSP, visible joints, on ONNX Runtime."""
    figures = json.loads(run("eval", "demo", "--data", f"lsp:{data_root}/lsp", "--split", "test", "--json"))
    card = json.loads(run("info", "demo", "--json"))
    measured = (card.get("training") or card["manifest"]["training"])["evaluation"]
    assert figures["images"] == 1000
    assert figures["normaliser"] == "torso"
    assert figures["pck"]["0.2"] >= 80.0
    # The card's figures are torch's: the export changed nothing that could be seen.
    assert abs(figures["pck"]["0.2"] - measured["pck"]["0.2"]) <= 0.1


def test_the_demo_finds_a_person_on_the_demo_picture(tmp_path: Path) -> None:
    out = tmp_path / "demo.png"
    report = json.loads(run("demo", "--out", str(out), "--json"))
    assert read_image(out).shape == read_image(report["source"]).shape
    found = {k["name"]: k for k in report["keypoints"]}
    # He bends over his camera, the top of his head around (215, 75); his feet are not in the picture.
    assert np.hypot(found["head_top"]["x"] - 215, found["head_top"]["y"] - 75) < 60
    assert (
        found["head_top"]["visible"]
        > 0.5
        > max(found["left_ankle"]["visible"], found["right_ankle"]["visible"])
    )

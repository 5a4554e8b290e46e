from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coke_edge.cli.data import app
from coke_edge.errors import DataError
from coke_edge.stream.images import read_image

runner = CliRunner()


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    result = runner.invoke(app, ["generate", str(tmp_path / "set"), "--count", "3", "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["images"] == 3
    assert "data check" in result.stderr
    return Path(summary["data"].removeprefix("coco:"))


def test_check_reports_and_draws(annotations: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    result = runner.invoke(app, ["check", f"coco:{annotations}", "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [one["objects"] for one in report["splits"]] == [1, 1, 1]
    assert report["usable"] is True
    assert read_image(out).shape[1] > 900
    assert "coke-edge train" in result.stderr


def test_the_table_names_every_keypoint(annotations: Path) -> None:
    result = runner.invoke(app, ["check", f"coco:{annotations}", "--split", "train"])
    assert result.exit_code == 0
    assert "upright_left_corner" in result.stdout
    assert "train" in result.stdout
    assert "val" not in result.stdout


def test_missing_images_fail_but_are_reported(annotations: Path) -> None:
    for image in (annotations.parent / "images").iterdir():
        image.unlink()
    result = runner.invoke(app, ["check", f"coco:{annotations}", "--json"])
    assert result.exit_code == 1
    assert all(len(one["missing"]) == 1 for one in json.loads(result.stdout)["splits"])
    assert "coke-edge train" not in result.stderr
    result = runner.invoke(app, ["check", f"coco:{annotations}"])
    assert result.exit_code == 1
    assert "train: missing images: 1 (" in result.stdout
    assert result.stderr.startswith("error: the data set cannot be used as it is")


def test_what_is_no_data_set_is_one_sentence(tmp_path: Path) -> None:
    result = runner.invoke(app, ["check", f"lsp:{tmp_path}"])
    assert isinstance(result.exception, DataError)

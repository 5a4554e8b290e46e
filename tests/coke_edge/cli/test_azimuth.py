"""`--azimuth` is the data sets' parameter, written shorter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from typer.testing import CliRunner

from coke_edge.cli import data, train
from coke_edge.cli import eval as evaluation
from coke_edge.cli.azimuth import AzimuthHalf, with_azimuth
from coke_edge.errors import CokeError


def test_it_is_added_to_the_specification() -> None:
    assert with_azimuth("pascal3d:p?category=car", AzimuthHalf.seen) == "pascal3d:p?category=car&azimuth=seen"
    assert with_azimuth("objectnet3d:p", AzimuthHalf.unseen) == "objectnet3d:p?azimuth=unseen"
    assert with_azimuth("lsp:p", None) == "lsp:p"


def invoke(app, *arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_a_data_set_without_viewpoints_says_so(tmp_path: Path) -> None:
    with pytest.raises(CokeError, match="unknown parameter 'azimuth', lsp:"):
        invoke(train.app, "--data", f"lsp:{tmp_path}", "--azimuth", "seen", "--out", tmp_path / "run")
    with pytest.raises(CokeError, match="may stand only once"):
        invoke(
            train.app,
            "--data",
            "pascal3d:p?category=car&azimuth=seen",
            "--azimuth",
            "seen",
            "--out",
            tmp_path / "run",
        )
    with pytest.raises(CokeError, match="--resume continues a run as it was begun"):
        invoke(train.app, "--resume", tmp_path, "--azimuth", "seen")
    assert "--azimuth" in invoke(evaluation.app, "--help").stdout


def test_the_check_says_what_is_left_out(tmp_path: Path) -> None:
    """One car from the front, one from the side, one without a viewpoint."""
    for folder in ("Annotations/car_pascal", "Images/car_pascal", "Image_sets"):
        (tmp_path / folder).mkdir(parents=True)
    for name, azimuth, anchors in (("a", 10.0, 6.0), ("b", 90.0, 6.0), ("c", 10.0, 1.0)):
        anchor = {"left_front_wheel": {"location": np.array([[5.0, 6.0]]), "status": 1.0}}
        view = {"azimuth": azimuth, "num_anchor": anchors}
        thing = {"class": "car", "bbox": np.array([[1.0, 2, 20, 20]]), "anchors": anchor, "viewpoint": view}
        savemat(
            tmp_path / f"Annotations/car_pascal/{name}.mat",
            {"record": {"filename": f"{name}.png", "objects": thing}},
        )
    (tmp_path / "Image_sets/car_pascal_train.txt").write_text("a\nb\nc\n")
    spec = f"pascal3d:{tmp_path}?category=car&azimuth=seen"
    result = invoke(data.app, "check", spec, "--split", "train")
    assert "train: left out: 1 of the unseen azimuths" in result.stdout
    assert "train: left out: 1 without a viewpoint" in result.stdout
    report = json.loads(invoke(data.app, "check", spec, "--split", "train", "--json").stdout)
    assert report["splits"][0]["objects"] == 1
    assert report["splits"][0]["left_out"] == {"of the unseen azimuths": 1, "without a viewpoint": 1}

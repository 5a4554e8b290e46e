"""The card says what is known and nothing of the machine."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from coke_edge.errors import ExportError
from coke_edge.export.card import (
    flatten,
    model_card,
    read_evaluation,
    trained_on,
    training_summary,
    without_folders,
)
from coke_edge.export.clutter_report import Limits as ClutterLimits
from coke_edge.export.clutter_report import Report
from coke_edge.export.verdict import Limits, Pck, Verdict, Worst
from coke_edge.train.checkpoint import Checkpoint

BANK = Report("all", 24, 24, 0, (), ClutterLimits())


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("lsp:/data/sets/lsp", "lsp:lsp"),
        ("lsp:../shared/lsp/", "lsp:lsp"),
        ("coco:/a b/person.json?images=/c/d&category=dog", "coco:person.json?images=d&category=dog"),
        ("coco:c.json?images=%2Fhome%2Fme%2Fd%26e", "coco:c.json?images=d%26e"),
    ],
)
def test_paths_are_cut_to_their_last_part(spec: str, shown: str) -> None:
    assert without_folders(spec) == shown


def test_summary_keeps_the_figures_and_drops_the_folders(checkpoint: Checkpoint) -> None:
    recipe = msgspec.structs.replace(
        checkpoint.recipe, pretrained="/home/me/weights.pth", occluder_images="/x/bg"
    )
    summary = training_summary(Checkpoint(checkpoint.model, checkpoint.spec, recipe, checkpoint.training))
    assert summary["data"] == "lsp:lsp"
    assert summary["epochs"] == 2
    assert (summary["recipe"]["pretrained"], summary["recipe"]["occluder_images"]) == ("weights.pth", "bg")


def test_card(checkpoint: Checkpoint) -> None:
    verdict = Verdict(
        images=9,
        keypoints=27,
        pixels={"median": 0.001, "p99": 0.002, "max": 0.003},
        response_max=0.0,
        peaks=27,
        ties=0,
        displaced=0,
        missing=0,
        worst=Worst("a.jpg", "nose", 0.003),
        limits=Limits(),
        pck=Pck("annotations", 27, 81.48, 81.48, 0, 0),
    )
    text = model_card("ears", checkpoint.spec, training_summary(checkpoint), BANK, {"fp32": verdict})
    for part in (
        "# ears",
        "nose, left ear, right ear",
        "96 by 64 pixels",
        "test_efficientnet",
        "Leeds Sports Pose",
        "| pck.0.2 | 61.5 |",
        "| fp32 | 9 | 27 | 0.001 | 0.002 | 0.0% | 81.5 | 81.5 | passed |",
        "not calibrated",
    ):
        assert part in text
    assert "terms are not recorded" in model_card("x", checkpoint.spec, {}, BANK, {})


def test_card_says_that_what_the_weights_started_from_is_not_known() -> None:
    first, before = trained_on({"data": "lsp:lsp", "recipe": {"start": "best.safetensors"}})
    assert first.startswith("Trained on `lsp:lsp`")
    assert before.startswith("It started from a model trained on `not recorded`")


def test_card_names_what_the_weights_were_trained_on_before(checkpoint: Checkpoint) -> None:
    training = {
        **checkpoint.training,
        "earlier": [{"data": "coco:/x/c.json?images=/x/p", "occluder_images": "/x/bg"}],
    }
    summary = training_summary(Checkpoint(checkpoint.model, checkpoint.spec, checkpoint.recipe, training))
    assert summary["earlier"] == [{"data": "coco:c.json?images=p", "occluder_images": "bg"}]
    text = model_card("ears", checkpoint.spec, summary, BANK, {})
    assert "Trained on `lsp:lsp`. Leeds Sports Pose" in text
    assert "It started from a model trained on `coco:c.json?images=p`. Annotations in the COCO format" in text
    assert "earlier" not in text


def test_flatten() -> None:
    assert dict(flatten({"a": {"b": 1.23456, "c": {"d": 2}}, "e": "f"})) == {
        "a.b": "1.235",
        "a.c.d": 2,
        "e": "f",
    }


EVALUATION = {
    "dataset": "lsp:/data/sets/lsp",
    "split": "test",
    "images": 5,
    "keypoints": 60,
    "normaliser": "torso",
    "pck": {"0.1": 40.0, "0.2": 70.0},
    "left_right_forgiven": {"0.1": 45.0, "0.2": 80.0},
    "median_error_px": 3.0,
    "visibility_auroc": None,
    "per_keypoint": {"neck": {"pck": {"0.1": 50.0, "0.2": 90.0}, "count": 5}},
    "latency_ms": {"median": 9.0, "p95": 12.0},
}


def test_measured_figures_come_from_an_evaluation(tmp_path: Path) -> None:
    file = tmp_path / "evaluation.json"
    file.write_bytes(msgspec.json.encode(EVALUATION))
    figures = read_evaluation(file)
    assert figures["data"] == "lsp:lsp"
    assert figures["pck"] == {"0.1": 40.0, "0.2": 70.0}
    assert figures["pck@0.2 of"] == {"neck": 90.0}
    assert "latency_ms" not in figures  # of the machine, not of the model


@pytest.mark.parametrize("content", [b"{}", b"[]", b"no json", b'{"normaliser": "torso"}'])
def test_another_file_is_no_evaluation(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "evaluation.json"
    file.write_bytes(content)
    with pytest.raises(ExportError, match=r"no evaluation\.json"):
        read_evaluation(file)
    with pytest.raises(ExportError, match="cannot read the evaluation"):
        read_evaluation(tmp_path / "absent.json")

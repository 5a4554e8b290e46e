"""The card says what is known and nothing of the machine."""

from __future__ import annotations

import msgspec
import pytest

from coke_edge.export.card import flatten, model_card, training_summary, without_folders
from coke_edge.export.parity import Limits, Verdict, Worst
from coke_edge.train.checkpoint import Checkpoint


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("lsp:/data/sets/lsp", "lsp:lsp"),
        ("lsp:../shared/lsp/", "lsp:lsp"),
        ("coco:/a b/person.json?images=/c/d&category=dog", "coco:person.json?images=d&category=dog"),
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
    )
    text = model_card("ears", checkpoint.spec, training_summary(checkpoint), {"fp32": verdict})
    for part in (
        "# ears",
        "nose, left ear, right ear",
        "96 by 64 pixels",
        "test_efficientnet",
        "Leeds Sports Pose",
        "| pck.0.2 | 61.5 |",
        "| fp32 | 9 | 27 | 0.001 | 0.002 | 0.003 | 0 |",
        "not calibrated",
    ):
        assert part in text
    assert "terms are not recorded" in model_card("x", checkpoint.spec, {}, {})


def test_flatten() -> None:
    assert dict(flatten({"a": {"b": 1.23456, "c": {"d": 2}}, "e": "f"})) == {
        "a.b": "1.235",
        "a.c.d": 2,
        "e": "f",
    }

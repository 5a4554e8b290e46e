"""A baseline's checkpoint is refused before anything is computed or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from coke_edge.errors import ExportError
from coke_edge.export.export import export_bundle
from coke_edge.export.trained import network_of
from coke_edge.train.checkpoint import Checkpoint
from coke_edge.train.methods import create_model
from coke_edge.train.recipe import make_recipe


@pytest.mark.parametrize("method", ["heatmap", "hourglass"])
def test_a_baseline_is_one_sentence_and_no_file(checkpoint: Checkpoint, tmp_path: Path, method: str) -> None:
    recipe = make_recipe(backbone="test_efficientnet", pretrained="none", channels=16, method=method)
    baseline = Checkpoint(create_model(recipe, 3).eval(), checkpoint.spec, recipe, {})
    with pytest.raises(ExportError, match=f"the method {method} is a baseline .* --method coke"):
        export_bundle(baseline, tmp_path / "model.coke", iter(()))
    assert not list(tmp_path.iterdir())


def test_cokes_network_is_its_own(checkpoint: Checkpoint) -> None:
    assert network_of(checkpoint) is checkpoint.model

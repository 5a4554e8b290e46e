"""Runs by name: from a specification and a folder to a trainer, and back to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from coke_edge.errors import CokeError
from coke_edge.train.data.generated import write_generated
from coke_edge.train.recipe import Recipe, make_recipe
from coke_edge.train.run import continue_run, fresh_folder, start_run


@pytest.fixture(scope="module")
def brackets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A generated data set of twelve pictures, as a specification."""
    folder = tmp_path_factory.mktemp("brackets")
    write_generated(folder, count=12, seed=0)
    return f"coco:{folder}/annotations.json"


def small() -> Recipe:
    return make_recipe(
        "tiny",
        backbone="test_efficientnet",
        pretrained="none",
        width=64,
        height=64,
        epochs=2,
        batch_size=4,
        workers=0,
    )


def test_a_run_is_started_stopped_and_continued_by_its_folder(brackets: str, tmp_path: Path) -> None:
    run = start_run(small(), brackets, tmp_path / "run", accelerator="cpu")
    assert make_recipe(str(tmp_path / "run" / "recipe.yaml")) == small()
    assert not run.fit(stop_after=1).finished
    with pytest.raises(CokeError, match=r"holds a run already: continue it with --resume"):
        start_run(small(), brackets, tmp_path / "run")
    again = continue_run(tmp_path / "run" / "last.safetensors", accelerator="cpu")
    assert again.train_data.name == brackets
    assert again.fit().finished


def test_an_unwritable_folder_is_refused_before_training(brackets: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CokeError, match="cannot write into the run folder"):
        start_run(small(), brackets, tmp_path / "file" / "run")


def test_fresh_folders_are_numbered(tmp_path: Path) -> None:
    assert fresh_folder(tmp_path) == tmp_path / "1"
    (tmp_path / "1").mkdir()
    assert fresh_folder(tmp_path) == tmp_path / "2"

"""Runs by name: from a specification and a folder to a trainer, and back to it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import pytest
import torch.distributed as dist

from coke_edge.errors import CokeError
from coke_edge.train.checkpoint import load_checkpoint
from coke_edge.train.data import load_dataset
from coke_edge.train.data.generated import write_generated
from coke_edge.train.processes import Processes, is_lost
from coke_edge.train.recipe import Recipe, make_recipe
from coke_edge.train.run import continue_run, fitting, fresh_folder, start_run


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


def test_where_hidden_keypoints_count_they_have_no_map_of_their_own(
    brackets: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = load_dataset(brackets, "train")
    assert fitting(small(), data, say=True) == small()
    assert small().placement > 0
    counting = dataclasses.replace(data, counts_hidden=True)
    assert fitting(small(), counting, say=False) == msgspec.structs.replace(small(), placement=0.0)
    assert not caplog.messages
    fitting(small(), counting, say=True)
    assert [text.partition(":")[2] for text in caplog.messages] == [" no placement."]


def test_fresh_folders_are_numbered(tmp_path: Path) -> None:
    assert fresh_folder(tmp_path) == tmp_path / "1"
    (tmp_path / "1").mkdir()
    assert fresh_folder(tmp_path) == tmp_path / "2"


def test_what_a_killed_run_has_left_goes_and_files_of_others_stay(brackets: str, tmp_path: Path) -> None:
    foreign = [".ssh.partial.zip", ".notes.0a0a0a0a.part.txt", ".best.part"]
    ours = [
        ".best.0a0a0a0a.part.safetensors",
        ".metrics.0b0b0b0b.part.csv",
        "pictures/.epoch0002.0c0c0c0c.part.jpg",
    ]
    (tmp_path / "pictures").mkdir()
    for name in [*foreign, *ours]:
        (tmp_path / name).touch()
    start_run(small(), brackets, tmp_path, accelerator="cpu")
    assert [name for name in foreign if (tmp_path / name).exists()] == foreign
    assert [name for name in ours if (tmp_path / name).exists()] == []


def test_a_run_without_an_object_to_validate_on_is_trained_with_a_warning(
    brackets: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = Path(brackets.removeprefix("coco:"))
    nothing = tmp_path / "nothing.json"
    nothing.write_text(json.dumps({**json.loads(file.read_text()), "annotations": []}))
    run = start_run(small(), f"{brackets}?val={nothing}", tmp_path / "run", accelerator="cpu")
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [
        "Training without validation"
    ]
    assert run.fit().finished
    assert load_checkpoint(tmp_path / "run").spec.visibility is None


@pytest.mark.parametrize("begin", [True, False])
def test_a_process_that_is_lost_before_the_training_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: bool
) -> None:
    def lost(self: Processes, flag: bool) -> bool:
        raise RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1")

    class Two(Processes):
        def __init__(self, devices: int, accelerator: str) -> None:
            super().__init__(1, "cpu")
            self.count = 2

    monkeypatch.setattr("coke_edge.train.run.Processes", Two)
    monkeypatch.setattr(Two, "any", lost)
    with pytest.raises(CokeError, match=r"^rank 0 of 2 has lost another process of this run"):
        start_run(small(), "coco:none", tmp_path) if begin else continue_run(tmp_path)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (dist.DistNetworkError("the store is gone"), True),
        (RuntimeError("Read error [127.0.0.1]:1: Connection reset by peer"), True),
        (RuntimeError("Timed out waiting 1800000ms for recv operation to complete"), True),
        (RuntimeError("gloo: tensors must have the same size"), False),
    ],
)
def test_what_says_that_a_process_is_lost(error: RuntimeError, lost: bool) -> None:
    assert is_lost(error) is lost

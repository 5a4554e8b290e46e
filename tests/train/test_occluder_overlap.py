"""A model must not be tested with the occluders that it was trained with."""

from __future__ import annotations

from pathlib import Path

import pytest

from coke_edge.errors import BundleError, DataError
from coke_edge.train import occluder_overlap
from coke_edge.train.occluder_overlap import recorded_occluders, refuse_training_occluders
from coke_edge.train.occluders import OccluderFolder


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch):
    """A model whose recipe says this."""

    def make(recorded: str | None, is_bundle: bool = False) -> str:
        monkeypatch.setattr(occluder_overlap, "recorded_occluders", lambda _: (recorded, is_bundle))
        return "runs/1"

    return make


def ask(folder: Path | str, model: str) -> str | None:
    return refuse_training_occluders(OccluderFolder.parse(str(folder)), model)


def test_the_same_folder_is_refused_and_the_other_half_is_not(trained, tmp_path):
    for folder in (tmp_path, f"{tmp_path}?part=train"):
        with pytest.raises(DataError, match=r"was trained with occluders from .*give another.*\?part=test"):
            ask(folder, trained(str(tmp_path)))
    assert ask(f"{tmp_path}?part=test", trained(f"{tmp_path}?part=train")) is None
    assert ask(tmp_path / "other", trained(str(tmp_path))) is None


def test_a_folder_of_the_same_name_is_a_warning(trained, tmp_path):
    assert "a folder called photos" in (ask(tmp_path / "photos", trained("photos", is_bundle=True)) or "")
    assert "a folder called photos" in (ask(tmp_path / "photos", trained("/elsewhere/photos")) or "")
    assert ask(f"{tmp_path}/photos?part=test", trained("photos?part=train", is_bundle=True)) is None


def test_who_was_trained_with_its_own_images_may_be_tested_with_any(trained, tmp_path):
    assert ask(tmp_path, trained(None)) is None
    assert ask(tmp_path, trained(None, is_bundle=True)) is None


def test_a_bundle_and_a_checkpoint_are_told_apart(tmp_path):
    assert recorded_occluders("demo")[1]
    with pytest.raises(BundleError, match="there is no checkpoint"):
        recorded_occluders(str(tmp_path))

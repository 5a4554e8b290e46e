"""A written set of occluded images must not cover them with what a model was trained with."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from coke_edge.errors import DataError
from coke_edge.train import written_overlap
from coke_edge.train.lineage import UNKNOWN, Stage
from coke_edge.train.written_overlap import refuse_written_occluders


@pytest.fixture
def trained(says_of_its_trainings):
    """A model that says this of its trainings."""
    return partial(says_of_its_trainings, written_overlap)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three photos: names and sizes are all that is looked at."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(3):
        (folder / f"{n}.png").write_bytes(b"photo" * (n + 1))
    return folder


@pytest.fixture
def written(tmp_path: Path, photos: Path) -> Path:
    """What `data occlude` says of a set that it made with two of the photos."""
    files = {path.name: path.stat().st_size for path in (photos / "0.png", photos / "1.png")}
    known = {"occluder_folder": "photos", "occluder_part": "", "occluder_files": files}
    return put(tmp_path / "set", known)


def put(root: Path, known: dict[str, object]) -> Path:
    root.mkdir()
    (root / "occluded.json").write_text(json.dumps({"version": 2, "data": "lsp", "split": "test", **known}))
    return root


def test_photos_that_training_cut_occluders_from_are_refused(trained, written, photos):
    with pytest.raises(DataError, match=r"runs/1 took occluders from 2 of the 2 photos .* with other photos"):
        refuse_written_occluders(written, trained(Stage("", str(photos))))
    with pytest.raises(DataError, match="from 2 of the 2"):
        refuse_written_occluders(written, trained(Stage("", str(photos)), Stage("", "/elsewhere/other")))


def test_photos_that_training_did_not_cut_from_are_none_of_its_business(trained, written, photos):
    for name in ("0.png", "1.png"):
        (photos / name).unlink()
    assert refuse_written_occluders(written, trained(Stage("", str(photos)))) is None


def test_another_photo_of_the_same_name_is_another_photo(trained, written, photos):
    for name in ("0.png", "1.png"):
        (photos / name).write_bytes((photos / name).read_bytes() + b" ")
    assert refuse_written_occluders(written, trained(Stage("", str(photos)))) is None


def test_training_images_are_refused_as_well(trained, written, photos, monkeypatch):
    monkeypatch.setattr(written_overlap, "training_images", lambda _: {photos / "1.png", photos / "gone.png"})
    with pytest.raises(DataError, match="was trained on 1 of the 2 photos"):
        refuse_written_occluders(written, trained(Stage("lsp:x", "/elsewhere/other")))


def test_what_cannot_be_compared_is_a_warning_where_the_names_agree(trained, written, photos):
    for stage, is_bundle in ((Stage("", "photos"), True), (Stage("", "/elsewhere/photos"), False)):
        warning = refuse_written_occluders(written, trained(stage, is_bundle=is_bundle))
        assert "from a folder called photos" in (warning or "")
    assert refuse_written_occluders(written, trained(Stage("", "others"), is_bundle=True)) is None
    assert "does not say what" in (refuse_written_occluders(written, trained(UNKNOWN)) or "")


def test_a_set_without_a_list_is_a_warning(trained, tmp_path):
    model = trained(Stage("", "photos"), is_bundle=True)
    assert "does not list the photos" in (refuse_written_occluders(tmp_path, model) or "")
    assert "does not list the photos" in (refuse_written_occluders(put(tmp_path / "old", {}), model) or "")

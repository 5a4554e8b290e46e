"""A model must not be tested with occluders cut from images that it was trained with."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from coke_edge.errors import BundleError, DataError
from coke_edge.train import occluder_overlap
from coke_edge.train.lineage import UNKNOWN, Stage
from coke_edge.train.occluder_overlap import recorded_stages, refuse_training_occluders
from coke_edge.train.occluders import OccluderFolder


@pytest.fixture
def trained(says_of_its_trainings):
    """A model that says this of its trainings."""
    return partial(says_of_its_trainings, occluder_overlap)


@pytest.fixture
def lsp(tmp_path: Path) -> Path:
    """LSP of six images; the first three are for training, the others for the test."""
    root = tmp_path / "lsp"
    (root / "images").mkdir(parents=True)
    for n in range(1, 7):
        cv2.imwrite(str(root / f"images/im{n:04d}.jpg"), np.full((8, 8, 3), 30 * n, np.uint8))
    joints = np.full((3, 14, 6), 4.0)
    joints[2] = 0
    savemat(root / "joints.mat", {"joints": joints})
    return root


def ask(folder: Path | str, model: str) -> str | None:
    return refuse_training_occluders(OccluderFolder.parse(str(folder)), model)


def folder_with(tmp_path: Path, *images: Path) -> Path:
    """A folder of these images, as links."""
    folder = tmp_path / "others"
    folder.mkdir()
    for image in images:
        (folder / image.name).symlink_to(image)
    return folder


def test_the_same_folder_is_refused_and_the_other_half_is_not(trained, tmp_path):
    for folder in (tmp_path, f"{tmp_path}?part=train"):
        with pytest.raises(DataError, match=r"was trained with occluders from .*give another.*\?part=test"):
            ask(folder, trained(Stage("", str(tmp_path))))
    assert ask(f"{tmp_path}?part=test", trained(Stage("", f"{tmp_path}?part=train"))) is None
    assert ask(tmp_path / "other", trained(Stage("", str(tmp_path)))) is None


def test_a_folder_of_the_same_name_is_a_warning(trained, tmp_path):
    assert "a folder called photos" in (
        ask(tmp_path / "photos", trained(Stage("", "photos"), is_bundle=True)) or ""
    )
    assert "a folder called photos" in (
        ask(tmp_path / "photos", trained(Stage("", "/elsewhere/photos"))) or ""
    )
    assert (
        ask(f"{tmp_path}/photos?part=test", trained(Stage("", "photos?part=train"), is_bundle=True)) is None
    )


def test_what_an_earlier_stage_saw_counts_as_well(trained, tmp_path, lsp):
    later = Stage("", "/elsewhere/other")
    with pytest.raises(DataError, match="was trained with occluders from"):
        ask(tmp_path / "photos", trained(Stage("", str(tmp_path / "photos")), later))
    with pytest.raises(DataError, match="3 of the 6 images"):
        ask(lsp / "images", trained(Stage(f"lsp:{lsp}", "/elsewhere/else"), later))
    assert "called photos" in (
        ask(tmp_path / "photos", trained(Stage("", "photos"), later, is_bundle=True)) or ""
    )


@pytest.mark.parametrize("occluders", [None, "/elsewhere/other"])
def test_training_images_are_refused_wherever_occluders_came_from(trained, tmp_path, lsp, occluders):
    model = trained(Stage(f"lsp:{lsp}", occluders))
    with pytest.raises(
        DataError, match=r"3 of the 6 images in .*images are training images of runs/1"
    ) as caught:
        ask(lsp / "images", model)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="1 of the 1 images"):
        ask(folder_with(tmp_path, lsp / "images/im0002.jpg"), model)


def test_images_of_the_same_data_set_that_training_did_not_see_may_test_it(trained, tmp_path, lsp):
    assert ask(folder_with(tmp_path, lsp / "images/im0005.jpg"), trained(Stage(f"lsp:{lsp}"))) is None


def test_training_images_that_cannot_be_compared_are_a_warning_where_the_names_agree(trained, tmp_path, lsp):
    for model in (trained(Stage("lsp:lsp"), is_bundle=True), trained(Stage("lsp:/elsewhere/lsp"))):
        assert "trained on lsp:" in (ask(lsp / "images", model) or "")
    assert "images" in (
        ask(lsp / "images", trained(Stage("coco:c.json?images=images"), is_bundle=True)) or ""
    )
    for stage in (Stage("lsp:lsp"), Stage("dots")):
        assert ask(tmp_path / "photos", trained(stage, is_bundle=True)) is None


@pytest.mark.parametrize("is_bundle", [False, True])
def test_a_training_of_which_nothing_is_recorded_is_a_warning(trained, tmp_path, lsp, is_bundle):
    model = trained(UNKNOWN, Stage(f"lsp:{lsp}"), is_bundle=is_bundle)
    warning = ask(
        tmp_path / "photos" if is_bundle else folder_with(tmp_path, lsp / "images/im0005.jpg"), model
    )
    assert "runs/1 does not say what all of its trainings saw" in (warning or "")
    assert "could not be compared" in (warning or "")
    with pytest.raises(DataError, match="3 of the 6 images"):
        ask(lsp / "images", trained(UNKNOWN, Stage(f"lsp:{lsp}")))


def test_a_bundle_and_a_checkpoint_are_told_apart(tmp_path):
    stages, is_bundle = recorded_stages("demo")
    assert is_bundle
    assert stages[-1].data == "lsp:lsp"
    with pytest.raises(BundleError, match="there is no checkpoint"):
        recorded_stages(str(tmp_path))

"""Folders of occluders: photos and cut-outs, the two halves, what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from coke_edge.errors import DataError
from coke_edge.train.crops import occluder_photos
from coke_edge.train.occluders import OccluderFolder, Occluders, part_of, read_occluder
from coke_edge.train.recipe import make_recipe


def write(path: Path, channels: int = 3, alpha: np.ndarray | None = None) -> Path:
    image = np.full((20, 30, channels), 90, np.uint8)
    if alpha is not None:
        image[..., 3] = alpha
    cv2.imwrite(str(path), image)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in range(12):
        write(tmp_path / f"{n}.png")
    return tmp_path


def test_the_halves_divide_a_folder_and_stay_when_it_grows(folder: Path) -> None:
    both = OccluderFolder.parse(str(folder)).files()
    halves = [OccluderFolder.parse(f"{folder}?part={part}").files() for part in ("train", "test")]
    assert sorted(halves[0] + halves[1]) == both
    assert not set(halves[0]) & set(halves[1])
    assert min(map(len, halves)) >= 3
    write(folder / "new.png")
    assert set(halves[1]) <= set(OccluderFolder.parse(f"{folder}?part=test").files())


def test_an_image_is_in_the_same_half_everywhere() -> None:
    # The first bytes that `sha256sum` gives for 0.jpg … 7.jpg are 39 4c 88 da ac 3f 7c 86: odd ones are test.
    assert [n for n in range(8) if part_of(f"{n}.jpg") == "test"] == [0, 5]


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", "a?part=test", True),
        ("a?part=train", "a", True),
        ("a?part=train", "a?part=test", False),
        ("a?part=test", "./b/../a?part=test", True),
    ],
)
def test_which_folders_have_images_in_common(one: str, other: str, shared: bool) -> None:
    assert OccluderFolder.parse(one).shares_images_with(OccluderFolder.parse(other)) == shared


def test_a_cut_out_is_reduced_to_what_is_opaque(tmp_path: Path) -> None:
    alpha = np.zeros((20, 30), np.uint8)
    alpha[5:15, 10:14] = 200
    assert read_occluder(write(tmp_path / "cut.png", 4, alpha)).shape == (10, 4, 4)


@pytest.mark.parametrize("alpha", [0, 255])
def test_alpha_that_leaves_all_or_nothing_makes_no_cut_out(tmp_path: Path, alpha: int) -> None:
    plain = np.full((20, 30), alpha, np.uint8)
    assert read_occluder(write(tmp_path / "all.png", 4, plain)).shape == (20, 30, 3)


def test_a_seed_draws_the_same_files(folder: Path) -> None:
    occluders = Occluders(str(folder))
    rows = [[id(occluders.draw(rng)) for _ in range(20)] for rng in map(np.random.default_rng, (1, 1, 2))]
    assert rows[0] == rows[1] != rows[2]
    assert len(set(rows[0])) > 5


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone", "there is no folder .*gone"),
        ("empty", "empty holds no image"),
        ("folder?part=val", "no part 'val' of a folder of occluders, write train or test"),
        ("one?part=train", "none of the images in .* falls into its part 'train'"),
    ],
)
def test_folders_that_hold_nothing(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    write(tmp_path / "one" / next(f"{n}.png" for n in range(9) if part_of(f"{n}.png") == "test"))
    with pytest.raises(DataError, match=sentence):
        Occluders(str(tmp_path / name))


def test_training_takes_its_half(folder: Path) -> None:
    half = f"{folder}?part=train"
    recipe = make_recipe("tiny", occluder_images=half)
    assert occluder_photos(recipe, []) == OccluderFolder.parse(half).files()


def test_a_broken_image_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"x\.png is truncated, or no image"):
        Occluders(str(tmp_path)).draw(np.random.default_rng(0))

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from coke_edge.draw import LEFT, RIGHT
from coke_edge.train.data import load_dataset
from coke_edge.train.data.sheet import GAP, TILE, UNREADABLE, contact_sheet

Make = Callable[..., Path]


def has_colour(image: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(image.astype(int) - colour).max(axis=-1) <= 2).any())


def test_tiles_and_legend(make_coco: Make) -> None:
    dataset = load_dataset(f"coco:{make_coco(10)}?split=all", "train")
    sheet = contact_sheet([dataset], count=5, columns=3)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 3 * (TILE + GAP)
    assert sheet.shape[0] > 2 * (TILE + GAP)
    tile, legend = sheet[GAP : GAP + TILE, GAP : GAP + TILE], sheet[2 * (TILE + GAP) :]
    assert has_colour(tile, LEFT)
    assert has_colour(legend, LEFT)
    assert has_colour(legend, RIGHT)


def test_one_list_for_two_splits_is_shown_once(make_coco: Make) -> None:
    spec = f"coco:{make_coco(4)}?split=all"
    sheet = contact_sheet([load_dataset(spec, "val"), load_dataset(spec, "test")], count=8, columns=8)
    assert sheet.shape[1] == 4 * (TILE + GAP)


def test_an_image_that_cannot_be_read_has_a_red_tile(make_coco: Make, tmp_path: Path) -> None:
    spec = f"coco:{make_coco(2)}?split=all"
    (tmp_path / "2.png").unlink()
    sheet = contact_sheet([load_dataset(spec, "train", require_images=False)])
    tiles = [sheet[GAP : GAP + TILE, x : x + TILE] for x in (GAP, TILE + 2 * GAP)]
    assert [has_colour(tile, UNREADABLE) and (tile == UNREADABLE).mean() > 0.8 for tile in tiles] == [
        False,
        True,
    ]

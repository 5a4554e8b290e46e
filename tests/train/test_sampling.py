"""Which cells are read at keypoints and which are drawn as clutter."""

from __future__ import annotations

import math

import pytest
import torch

from coke_edge.geometry import cells_to_crop, crop_to_cells
from coke_edge.train.batch import Batch
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE
from coke_edge.train.recipe import Recipe, make_recipe
from coke_edge.train.sampling import cells_of, draw_clutter, gather_cells

SIZE, STRIDE = 64, 8
CELLS = SIZE // STRIDE


def batch(points: list[list[float]], visibility: list[int], seed: int = 0) -> Batch:
    return Batch(
        torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8),
        torch.tensor([points]),
        torch.tensor([visibility], dtype=torch.uint8),
        torch.tensor([[16.0, 16.0, 47.0, 47.0]]),
        torch.tensor([seed]),
    )


def drawn(b: Batch, recipe: Recipe, features: torch.Tensor | None = None) -> torch.Tensor:
    features = torch.randn(1, 4, CELLS, CELLS) if features is None else features
    return torch.cat(draw_clutter(features, torch.eye(4)[:2], b, recipe, STRIDE))


def centres(index: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(cells_to_crop(index % CELLS, index // CELLS, STRIDE))


def test_cells_agree_with_the_one_definition_of_geometry() -> None:
    points = torch.rand(5, 2) * SIZE
    torch.testing.assert_close(
        cells_of(points, STRIDE), torch.from_numpy(crop_to_cells(points, STRIDE)).float()
    )


def test_gather_reads_the_nearest_cell() -> None:
    features = torch.arange(CELLS * CELLS, dtype=torch.float32).view(1, 1, CELLS, CELLS)
    cells = torch.tensor([[[2.4, 3.4], [2.6, 2.6], [7.9, 7.9], [math.nan, math.nan]]])
    assert gather_cells(features, cells)[0, :, 0].tolist() == [3 * 8 + 2, 3 * 8 + 3, 63, 0]


def test_clutter_keeps_its_distance_from_visible_keypoints_only() -> None:
    recipe = make_recipe(clutter_per_image=64, clutter_distance=20.0, clutter_covered=False)
    b = batch([[10.0, 10.0], [50.0, 50.0], [50.0, 10.0]], [VISIBLE, HIDDEN, UNLABELLED])
    gap = centres(drawn(b, recipe)) - torch.tensor([10.0, 10.0])
    assert gap.norm(dim=1).min() > 20.0
    # Everything that is far enough is drawn when so many are asked for.
    index = torch.arange(CELLS * CELLS)
    far = (centres(index) - torch.tensor([10.0, 10.0])).norm(dim=1) > 20.0
    assert sorted(drawn(b, recipe).tolist()) == index[far].tolist()


def test_distance_zero_leaves_out_the_keypoints_own_cell() -> None:
    recipe = make_recipe(clutter_per_image=64, clutter_distance=0.0, clutter_covered=False)
    index = drawn(batch([[10.0, 10.0]], [VISIBLE]), recipe)
    assert 1 * CELLS + 1 not in index.tolist()
    assert len(index) == CELLS * CELLS - 1


def test_clutter_outside_the_box() -> None:
    recipe = make_recipe(clutter_per_image=64, clutter_outside_box=True, clutter_covered=False)
    c = centres(drawn(batch([[30.0, 30.0]], [VISIBLE]), recipe))
    inside = ((c >= 16.0) & (c <= 47.0)).all(dim=1)
    assert not inside.any()
    assert len(c) > 0


def test_hard_mining_draws_what_resembles_a_prototype() -> None:
    features = torch.zeros(1, 4, CELLS, CELLS)
    features[0, 2] = 1.0  # like no prototype …
    features[0, :, 7, :] = torch.tensor([1.0, 0.0, 0.0, 0.0])[:, None]  # … but the last row is like the first
    recipe = make_recipe(clutter_per_image=4, clutter_hard=True, clutter_covered=False)
    easy = make_recipe(clutter_per_image=4, clutter_covered=False)
    hard_rows = [
        (drawn(batch([[8.0, 8.0]], [VISIBLE], seed), recipe, features) // CELLS == 7).float().mean()
        for seed in range(20)
    ]
    easy_rows = [
        (drawn(batch([[8.0, 8.0]], [VISIBLE], seed), easy, features) // CELLS == 7).float().mean()
        for seed in range(20)
    ]
    assert sum(hard_rows) > 2 * sum(easy_rows)


def test_cells_of_hidden_keypoints_join_where_the_recipe_says_so() -> None:
    b = batch([[10.0, 10.0], [50.0, 50.0], [90.0, 50.0]], [VISIBLE, HIDDEN, HIDDEN])
    for presence in (0.0, 1.0):  # with a null class or without
        index = drawn(b, make_recipe(clutter_per_image=0, presence=presence))
        assert index.tolist() == [6 * CELLS + 6]  # the third lies outside the crop
        assert len(drawn(b, make_recipe(clutter_per_image=0, presence=presence, clutter_covered=False))) == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_draws_the_same(seed: int) -> None:
    recipe = make_recipe()
    features = torch.randn(1, 4, CELLS, CELLS)
    b = batch([[10.0, 10.0]], [VISIBLE], seed)
    assert torch.equal(drawn(b, recipe, features), drawn(b, recipe, features))
    other = batch([[10.0, 10.0]], [VISIBLE], seed + 7)
    assert not torch.equal(drawn(b, recipe, features), drawn(other, recipe, features))


def test_the_cell_of_a_visible_keypoint_is_no_clutter_though_a_hidden_one_lies_in_it() -> None:
    recipe = make_recipe(clutter_per_image=0, clutter_covered=True)
    b = batch([[20.0, 20.0], [21.0, 21.0], [50.0, 50.0]], [VISIBLE, HIDDEN, HIDDEN])
    assert drawn(b, recipe).tolist() == [6 * CELLS + 6]

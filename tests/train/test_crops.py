"""Crops: geometry of the augmentation, mirrored labels, occluders, and the order in which they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from coke_edge.errors import CokeError, DataError
from coke_edge.geometry import box_to_crop
from coke_edge.manifest import InputSpec
from coke_edge.train.crops import (
    Crops,
    EpochSampler,
    augmented_affine,
    flip_order,
    jitter_colour,
    make_loader,
)
from coke_edge.train.data.sample import HIDDEN, VISIBLE, KeypointDataset
from coke_edge.train.recipe import Recipe, make_recipe

SPEC = InputSpec(128, 128, 1.2, (127, 127, 127), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
STILL = {"flip": 0.0, "scale": 0.0, "rotation": 0.0, "shift": 0.0, "colour": 0.0, "occluders": 0.0}
COLOURS = np.array([(40, 40, 230), (40, 230, 40), (230, 60, 40), (30, 220, 220)], float)


def recipe(**keys: object) -> Recipe:
    return make_recipe("edge", **{**STILL, "width": 128, "height": 128, "workers": 0, **keys})


def test_without_augmentation_it_is_the_crop_of_the_detector(dots: KeypointDataset) -> None:
    box = dots.samples[0].box
    affine = augmented_affine(box, recipe(), SPEC, np.random.default_rng(0))
    np.testing.assert_allclose(affine, box_to_crop(box, 128, 128, 1.2), atol=1e-9)


@pytest.mark.parametrize("epoch", range(6))
def test_labels_follow_the_pixels_through_every_augmentation(dots: KeypointDataset, epoch: int) -> None:
    """Under each visible label lies its own dot's colour, also in mirrored crops, where left and right swap."""
    crops = Crops(dots, recipe(flip=0.5, scale=0.3, rotation=40.0, shift=0.05), SPEC)
    mirrored = 0
    for i in range(len(crops)):
        item = crops[epoch, i]
        image = item.image.numpy().astype(float)
        swapped = set()
        for k in range(4):
            if item.visibility[k] != VISIBLE:
                continue
            x, y = np.rint(item.keypoints[k].numpy()).astype(int)
            pixel = image[min(y, 127), min(x, 127)]
            nearest = int(np.abs(COLOURS - pixel).sum(1).argmin())
            # In a mirrored crop, what is left in the crop was painted as right.
            assert nearest in (k, k ^ 1)
            swapped.add(nearest != k)
        assert len(swapped) == 1  # all labels of a crop, or none
        mirrored += swapped == {True}
        # Mirrored or not, what is called left lies to the left: the turn is less than a quarter.
        assert item.keypoints[0, 0] < item.keypoints[1, 0]
        assert i != 11 or item.visibility[int(swapped == {True})] != VISIBLE  # its left_top is hidden
    assert 0 < mirrored < len(crops)


def test_flip_order_swaps_pairs(dots: KeypointDataset) -> None:
    assert flip_order(dots.keypoints).tolist() == [1, 0, 3, 2]


def test_occluders_hide_what_they_cover(dots: KeypointDataset) -> None:
    plain, covered = Crops(dots, recipe(), SPEC), Crops(dots, recipe(occluders=1.0), SPEC)
    hidden = 0
    for i in range(11):
        a, b = plain[0, i], covered[0, i]
        for k in range(4):
            x, y = np.rint(a.keypoints[k].numpy()).astype(int)
            same = torch.equal(a.image[y, x], b.image[y, x])
            assert b.visibility[k] in (VISIBLE, HIDDEN)
            if b.visibility[k] == VISIBLE:
                assert same
            hidden += int(b.visibility[k] == HIDDEN)
    assert hidden > 0


def test_occluders_from_a_folder(dots: KeypointDataset, tmp_path: Path) -> None:
    crops = Crops(dots, recipe(occluders=1.0, occluder_images=str(dots.samples[0].image.parent)), SPEC)
    assert len(crops.photos) == 12
    with pytest.raises(DataError, match="holds no image"):
        Crops(dots, recipe(occluder_images=str(tmp_path)), SPEC)


def test_colour_changes_stay_in_range_and_can_be_off() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert jitter_colour(image, 0.0, np.random.default_rng(0)) is image
    changed = jitter_colour(image, 0.5, np.random.default_rng(1))
    assert changed.dtype == np.uint8
    assert changed.shape == image.shape
    assert not np.array_equal(changed, image)


def test_the_sampler_covers_an_epoch_and_can_take_up_in_the_middle() -> None:
    sampler = EpochSampler(10, 3, seed=5)
    first = list(sampler)
    flat = [key for batch in first for key in batch]
    assert len(flat) == len(set(flat)) == 9
    sampler.skip = 2
    assert list(sampler) == first[2:]
    sampler.skip, sampler.epoch = 0, 1
    assert [i for b in sampler for _, i in b] != [i for _, i in flat]


def test_fewer_images_than_a_batch_make_one_short_batch() -> None:
    assert [len(b) for b in EpochSampler(3, 16, seed=0)] == [3]


def test_processes_share_every_batch_in_order() -> None:
    whole = EpochSampler(10, 4, seed=5)
    shares = [EpochSampler(10, 4, seed=5, rank=rank, count=2) for rank in range(2)]
    for sampler in (whole, *shares):
        sampler.epoch, sampler.skip = 3, 1
    assert [a + b for a, b in zip(*shares, strict=True)] == list(whole)


def test_a_batch_that_cannot_be_shared_equally(dots: KeypointDataset) -> None:
    crops = Crops(dots, recipe(batch_size=6), SPEC)
    assert len(make_loader(crops, crops.recipe, rank=1, count=3)) == 2
    with pytest.raises(CokeError, match="4 processes cannot share a batch of 6 images equally"):
        make_loader(crops, crops.recipe, rank=0, count=4)


def test_worker_processes_change_nothing(dots: KeypointDataset) -> None:
    keys = {"flip": 0.5, "scale": 0.3, "colour": 0.3, "occluders": 0.5, "batch_size": 4}
    batches = []
    for workers in (0, 1):
        r = recipe(**keys, workers=workers)
        batches.append(list(make_loader(Crops(dots, r, SPEC), r)))
    for a, b in zip(*batches, strict=True):
        for x, y in zip(a, b, strict=True):
            torch.testing.assert_close(x, y, rtol=0, atol=0, equal_nan=True)

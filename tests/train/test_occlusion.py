"""Occluders: how much they cover, that they change just what the mask says, and that a seed repeats them."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE
from coke_edge.train.occlusion import TOLERANCE, hide_covered, paste_occluders

BOX = (20.0, 10.0, 75.0, 90.0)


def image(height: int = 100, width: int = 96) -> np.ndarray:
    return np.full((height, width, 3), 7, np.uint8)


def photos() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.integers(100, 256, (*size, 3), dtype=np.uint8) for size in ((40, 60), (300, 200), (3, 2))]


@given(
    seed=st.integers(0, 2**32 - 1), low=st.floats(0, 0.8), width=st.floats(0, 0.2), with_photos=st.booleans()
)
@settings(max_examples=60, deadline=None)
def test_the_covered_share_is_in_the_range(seed, low, width, with_photos):
    pieces = photos() if with_photos else []
    _, mask = paste_occluders(image(), BOX, np.random.default_rng(seed), pieces, (low, low + width))
    share = mask[10:91, 20:76].mean()
    assert low - TOLERANCE - 0.01 <= share <= low + width + 0.01


@given(seed=st.integers(0, 2**32 - 1), low=st.floats(0, 0.6), width=st.floats(0.01, 0.2))
@settings(max_examples=60, deadline=None)
def test_the_share_beside_the_box_is_in_its_range_or_more_for_pieces_of_the_box(seed, low, width):
    rng = np.random.default_rng(seed)
    _, mask = paste_occluders(image(), BOX, rng, photos(), (0.0, 0.0), (low, low + width))
    beside = np.ones(mask.shape, bool)
    beside[10:91, 20:76] = False
    assert low - TOLERANCE - 0.01 <= mask[beside].mean() <= low + width + 0.01


def test_the_box_gets_its_share_beside_a_covered_background():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        _, mask = paste_occluders(image(), BOX, rng, photos(), (0.6, 0.7), (0.4, 0.5))
        assert mask[10:91, 20:76].mean() > 0.6 - TOLERANCE - 0.01


@pytest.mark.parametrize("box", [(-5, -5, 200, 200), (0, 0, 95, 99)])
def test_a_box_that_fills_the_image_leaves_no_background(box):
    _, mask = paste_occluders(image(), box, np.random.default_rng(0), photos(), (0.0, 0.0), (0.5, 0.9))
    assert not mask.any()


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_pixels_change_under_the_mask_and_nowhere_else(seed):
    before = image()
    after, mask = paste_occluders(before, BOX, np.random.default_rng(seed), photos(), (0.2, 0.4))
    assert (before == 7).all()
    assert mask.dtype == bool
    assert mask.shape == before.shape[:2]
    changed = (after != before).any(axis=2)
    assert not (changed & ~mask).any()
    assert changed[mask].mean() > 0.95  # photos are brighter than 7; a soft edge may leave a pixel as it was


def test_a_seed_repeats_them_and_another_does_not():
    one, two, three = (
        paste_occluders(image(), BOX, np.random.default_rng(seed), photos(), (0.3, 0.5))[0]
        for seed in (1, 1, 2)
    )
    assert (one == two).all()
    assert (one != three).any()


def test_the_occluders_of_a_seed_stay_what_they_are():
    """Runs are resumed and compared across versions: outlines and random numbers drawn must not change unnoticed."""
    digest = hashlib.sha256()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        _, mask = paste_occluders(image(), BOX, rng, photos(), (0.05, 0.6))
        digest.update(np.packbits(mask).tobytes() + rng.bytes(8))
    assert digest.hexdigest() == "0c0358175d953fa0007673ca663834c597b39544dbde72dbb7a0647e82044ce2"


@pytest.mark.parametrize("box", [(-50, -50, 30, 30), (90, 95, 300, 300), (-10, -10, 500, 500)])
def test_a_box_that_leaves_the_image_is_covered_where_it_is_inside(box):
    _, mask = paste_occluders(image(), box, np.random.default_rng(0), photos(), (0.5, 0.6))
    x0, y0, x1, y1 = (max(0, v) for v in box)
    assert 0.45 < mask[y0 : y1 + 1, x0 : x1 + 1].mean() < 0.63


@pytest.mark.parametrize("box", [(200, 10, 260, 40), (-60, 10, -20, 40)])
def test_a_box_outside_the_image_gets_none(box):
    after, mask = paste_occluders(image(), box, np.random.default_rng(0), photos(), (0.5, 0.6))
    assert not mask.any()
    assert (after == image()).all()


def test_no_coverage_leaves_the_image_alone():
    after, mask = paste_occluders(image(), BOX, np.random.default_rng(0), photos(), (0.0, 0.0))
    assert not mask.any()
    assert (after == image()).all()


def test_only_visible_keypoints_under_the_mask_become_hidden():
    mask = np.zeros((10, 20), bool)
    mask[4, 6] = True
    points = np.array([[6.4, 3.6], [6.6, 4.0], [6, 4], [6, 4], [np.nan, np.nan], [-3, 4], [25, 4]])
    flags = np.array([VISIBLE, VISIBLE, HIDDEN, UNLABELLED, UNLABELLED, VISIBLE, VISIBLE], np.uint8)
    expected = [HIDDEN, VISIBLE, HIDDEN, UNLABELLED, UNLABELLED, VISIBLE, VISIBLE]
    assert hide_covered(points, flags, mask).tolist() == expected
    assert flags[0] == VISIBLE

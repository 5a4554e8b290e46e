"""The levels: how much is covered, that only the mask changes, that an object's occluders are its own."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coke_edge.errors import DataError
from coke_edge.train.data.sample import COVERED, HIDDEN, UNLABELLED, VISIBLE, Sample
from coke_edge.train.occluders import Occluders
from coke_edge.train.occlusion_levels import (
    LEVELS,
    box_region,
    covered_sample,
    occlude,
    occlude_sample,
    parse_levels,
)

BOX = np.array([20.0, 10.0, 75.0, 70.0], np.float32)


@pytest.fixture(scope="module")
def occluders(tmp_path_factory: pytest.TempPathFactory) -> Occluders:
    """Two photos and a cut-out, all brighter than the images under them."""
    folder = tmp_path_factory.mktemp("occluders")
    rng = np.random.default_rng(5)
    for n, size in enumerate(((60, 80), (30, 20))):
        cv2.imwrite(str(folder / f"{n}.png"), rng.integers(100, 256, (*size, 3), dtype=np.uint8))
    disc = np.full((40, 40, 4), 200, np.uint8)
    disc[..., 3] = 0
    cv2.circle(disc, (20, 20), 15, (200, 220, 240, 255), -1)
    cv2.imwrite(str(folder / "disc.png"), disc)
    return Occluders(str(folder))


def image(height: int = 80, width: int = 120) -> np.ndarray:
    return np.full((height, width, 3), 7, np.uint8)


def sample(key: str = "im1") -> Sample:
    points = np.array([[30, 20], [60, 60], [5, 5]], np.float32)
    return Sample(Path(f"{key}.png"), points, np.full(3, VISIBLE, np.uint8), BOX, key)


@pytest.mark.parametrize("level", ["L1", "L2", "L3"])
@given(
    seed=st.integers(0, 2**32 - 1),
    corner=st.tuples(st.integers(-10, 60), st.integers(-10, 40)),
    size=st.tuples(st.integers(30, 90), st.integers(30, 70)),
)
@settings(max_examples=25, deadline=None)
def test_shares_lie_in_the_ranges_and_only_the_mask_changes(occluders, level, seed, corner, size):
    before = image()
    region = box_region([*corner, corner[0] + size[0], corner[1] + size[1]], before.shape)
    found = occlude(before, region, level, occluders, np.random.default_rng(seed))
    changed = (found.image != before).any(axis=2)
    assert (before == 7).all()
    assert not (changed & ~found.mask).any()
    assert changed[found.mask].mean() > 0.9  # a soft edge may leave a pixel as it was
    assert found.met
    for part, share, (low, high) in zip(
        (region, ~region), (found.object_share, found.background_share), LEVELS[level], strict=True
    ):
        few = 4 / part.sum()  # below 400 px a share is met within 4 px
        assert part.sum() == 0 or share == pytest.approx(found.mask[part].mean())
        assert part.sum() == 0 or low - few <= share <= high + few


def test_l0_is_the_photo_itself():
    found = occlude_sample(image(), sample(), "L0", None, 0)
    assert (found.image == 7).all()
    assert not found.mask.any()
    assert (found.object_share, found.background_share, found.met) == (0, 0, True)


def test_higher_levels_cover_more(occluders):
    found = [occlude_sample(image(), sample(), level, occluders, 3) for level in LEVELS]
    for shares in ([one.object_share for one in found], [one.background_share for one in found]):
        assert shares == sorted(shares)


def test_the_windows_hold_the_mask(occluders):
    found = occlude_sample(image(), sample(), "L2", occluders, 0)
    inside = np.zeros_like(found.mask)
    for y0, y1, x0, x1 in found.windows:
        inside[y0:y1, x0:x1] = True
        assert found.mask[y0:y1, x0:x1].any()
    assert not (found.mask & ~inside).any()


def test_an_object_has_its_own_occluders_whatever_came_before(occluders):
    def run(keys: str, seed: int = 0, level: str = "L2") -> dict[str, np.ndarray]:
        return {key: occlude_sample(image(), sample(key), level, occluders, seed).image for key in keys}

    one, other = run("abc"), run("cab")
    assert all((one[key] == other[key]).all() for key in "abc")
    assert (one["a"] != one["b"]).any()
    assert (one["a"] != run("a", seed=1)["a"]).any()
    assert (one["a"] != run("a", level="L1")["a"]).any()


@pytest.mark.parametrize("level", ["L1", "L2", "L3"])
def test_few_occluders_cover_an_object_of_some_size(occluders, level):
    counts = [len(occlude_sample(image(), sample(str(n)), level, occluders, 0).windows) for n in range(40)]
    assert sum(1 <= count <= 3 for count in counts) >= 36
    assert len({1, 2, 3} & set(counts)) == 3


def test_a_small_object_in_a_large_frame_is_covered_all_the_same(occluders):
    region = box_region([50, 30, 57, 36], image().shape)
    for seed in range(10):
        found = occlude(image(), region, "L3", occluders, np.random.default_rng(seed))
        assert found.met
        assert 0.4 <= found.background_share <= 0.6


def test_an_object_outside_its_frame_cannot_be_covered(occluders):
    away = box_region([200, 10, 260, 40], image().shape)
    found = occlude(image(), away, "L1", occluders, np.random.default_rng(0))
    assert np.isnan(found.object_share)
    assert not found.met
    assert not box_region([-60, 10, -20, 40], image().shape).any()


def test_an_object_that_fills_its_frame_has_no_background(occluders):
    found = occlude(image(), np.ones((80, 120), bool), "L3", occluders, np.random.default_rng(0))
    assert 0.6 <= found.object_share <= 0.8
    assert np.isnan(found.background_share)
    assert found.met


def test_covered_keypoints_are_hidden_and_remembered():
    mask = np.zeros((20, 40), bool)
    mask[:, :10] = True
    points = np.array([[5, 5], [6, 6], [np.nan, np.nan], [30, 5], [31, 6]], np.float32)
    flags = np.array([VISIBLE, HIDDEN, UNLABELLED, VISIBLE, HIDDEN], np.uint8)
    before = Sample(Path("x.png"), points, flags, BOX, "x", {"category": "cup"})
    after = covered_sample(before, mask)
    assert after.visibility.tolist() == [HIDDEN, HIDDEN, UNLABELLED, VISIBLE, HIDDEN]
    assert after.meta[COVERED].tolist() == [VISIBLE, HIDDEN, UNLABELLED, UNLABELLED, UNLABELLED]
    assert after.meta["category"] == "cup"
    assert before.visibility[0] == VISIBLE


def test_levels_are_read_in_their_order():
    assert parse_levels("L3, L0") == ["L3", "L0"]
    for text, sentence in (
        ("L1,L4", "'L4' is no level"),
        ("", "'' is no level"),
        ("L1,L1", "stands twice in 'L1,L1'"),
    ):
        with pytest.raises(DataError, match=f"{sentence}.*L0, L1, L2, L3"):
            parse_levels(text)


def test_without_occluders_there_is_one_sentence():
    with pytest.raises(DataError, match="name a folder of images"):
        occlude_sample(image(), sample(), "L1", None, 0)

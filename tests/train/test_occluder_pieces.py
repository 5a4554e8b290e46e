"""Single occluders: their size, their outline, and that they are the same at every size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from coke_edge.train.occluder_pieces import Piece
from coke_edge.train.occluders import Occluders

FRAME = (120, 160)
MIDDLE = (80.0, 60.0)


@pytest.fixture
def disc(tmp_path: Path) -> Occluders:
    """A cut-out whose left half is brighter than its right one."""
    picture = np.full((40, 40, 4), 100, np.uint8)
    picture[:, :20, :3] = 200
    picture[..., 3] = 0
    for side, bright in ((0, 200), (1, 100)):
        half = np.zeros((40, 40), np.uint8)
        cv2.circle(half, (20, 20), 15, 255, -1)
        picture[..., 3] |= half
        picture[:, 20 * side : 20 * side + 20, :3] = bright
    cv2.imwrite(str(tmp_path / "disc.png"), picture)
    return Occluders(str(tmp_path))


@pytest.fixture
def photo(tmp_path: Path) -> Occluders:
    cv2.imwrite(str(tmp_path / "photo.jpg"), np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8))
    return Occluders(str(tmp_path))


@pytest.mark.parametrize("area", [300.0, 1000.0, 4000.0])
def test_a_cut_out_keeps_its_outline_at_every_size(disc: Occluders, area: float) -> None:
    piece = Piece.draw(disc, MIDDLE, np.random.default_rng(0))
    stencil, (x, y) = piece.stencil(area, FRAME)
    assert np.count_nonzero(stencil) == pytest.approx(area, rel=0.1)
    assert abs(stencil.shape[0] - stencil.shape[1]) <= 1
    assert not stencil[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert stencil[stencil.shape[0] // 2, stencil.shape[1] // 2]
    assert (x + stencil.shape[1] / 2, y + stencil.shape[0] / 2) == pytest.approx(MIDDLE, abs=1)
    assert piece.pixels(area, FRAME).shape == (*stencil.shape, 3)


def test_every_second_cut_out_is_mirrored(disc: Occluders) -> None:
    brighter = []
    for seed in (10, 11):
        pixels = Piece(disc.draw(np.random.default_rng(0)), MIDDLE, seed).pixels(2000.0, FRAME)
        left, right = np.array_split(pixels.astype(float), 2, axis=1)
        brighter.append(left.mean() > right.mean())
    assert brighter == [True, False]


@pytest.mark.parametrize("centre", [(0.0, 0.0), (159.0, 60.0), (80.0, 119.0)])
def test_at_the_edge_of_the_frame_the_rest_is_cut_off(disc: Occluders, centre: tuple[float, float]) -> None:
    piece = Piece.draw(disc, centre, np.random.default_rng(1))
    stencil, (x, y) = piece.stencil(4000.0, FRAME)
    assert x >= 0
    assert x + stencil.shape[1] <= FRAME[1]
    assert y >= 0
    assert y + stencil.shape[0] <= FRAME[0]
    assert 0 < np.count_nonzero(stencil) < 3000
    assert piece.pixels(4000.0, FRAME).shape == (*stencil.shape, 3)


def test_outside_the_frame_there_is_none(disc: Occluders, photo: Occluders) -> None:
    for occluders in (disc, photo):
        stencil, _ = Piece.draw(occluders, (-300.0, 50.0), np.random.default_rng(0)).stencil(900.0, FRAME)
        assert stencil.size == 0


def test_a_photos_outline_grows_and_stays_itself(photo: Occluders) -> None:
    piece = Piece.draw(photo, MIDDLE, np.random.default_rng(3))
    sizes = [np.count_nonzero(piece.stencil(area, FRAME)[0]) for area in (200.0, 400.0, 800.0, 1600.0)]
    assert sizes == sorted(sizes)
    assert sizes == pytest.approx([200, 400, 800, 1600], rel=0.2)
    assert (piece.stencil(800.0, FRAME)[0] == piece.stencil(800.0, FRAME)[0]).all()
    assert (piece.pixels(800.0, FRAME) == piece.pixels(800.0, FRAME)).all()

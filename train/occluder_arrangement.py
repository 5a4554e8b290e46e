"""Occluders arranged over an object and its background, until each is covered by the share that is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from coke_edge.train.occluder_pieces import Corner, Image, Piece, Stencil
from coke_edge.train.occluders import Occluders
from coke_edge.train.occlusion import lay

Mask = NDArray[np.bool_]  # [H, W]
Share = tuple[float, float]  # from, to

TOLERANCE = 0.01  # of an area …
PIXELS = 4  # … and at least so many px
COUNTS = (4 / 7, 2 / 7, 1 / 7)  # probabilities of one, two, three occluders, as in that data set's modes
TRIES = 40  # arrangements …
BISECTIONS = 24  # … and sizes of each
MAX_TRIES = 2000
SMALLER = 0.85  # a piece that does not fit is tried again, somewhere else and this much smaller


def arrange(cover: Cover, occluders: Occluders, rng: np.random.Generator) -> None:
    """Put one to three occluders over the object and its background, of a size that covers the object's share.

    Of `TRIES` arrangements the first is taken whose share of the background is in its range; if there is none, the one
    that covers most of it without more than was drawn; if there is none of these either, none.
    """
    if not cover.area[0]:
        return
    best: tuple[int, list[Piece], float] | None = None
    for _ in range(TRIES):
        count = int(rng.choice(len(COUNTS), p=COUNTS)) + 1
        pieces = [
            Piece.draw(occluders, cover.anywhere(first, rng), rng) for first in (True, False, False)[:count]
        ]
        area = cover.fitting_area(pieces)
        if area is None:
            continue
        behind = cover.gained_by(pieces, area)[1]
        if cover.allowed[0] <= behind <= cover.allowed[1]:
            cover.put(pieces, area)
            cover.missing[1] = 0
            return
        if behind <= cover.missing[1] and (best is None or behind > best[0]):
            best = (behind, pieces, area)
    if best:
        cover.put(*best[1:])


def make_up(cover: Cover, occluders: Occluders, rng: np.random.Generator) -> None:
    """Add pieces until both shares are met, or for so many tries."""
    fit = 1.0  # how much smaller than wanted pieces are at the moment
    for _ in range(MAX_TRIES):
        if cover.full:
            break
        part = cover.emptier
        missing = cover.missing[part]
        area = max(1.0, fit * missing * (rng.uniform(0.3, 0.8) if missing > 5 * cover.slack[part] else 1.0))
        piece = Piece.draw(occluders, cover.place(part, rng), rng)
        gained = cover.gained_by([piece], area)
        if (gained > cover.missing + cover.slack).any():
            fit *= SMALLER
        elif gained[part]:
            fit = min(1.0, fit / SMALLER**3)
            cover.put([piece], area)


class Cover:
    """An image under work; pairs are of object and background, in px."""

    def __init__(
        self, image: Image, region: Mask, share: Share, background: Share, rng: np.random.Generator
    ) -> None:
        self.image, self.rng = image.copy(), rng
        self.mask: NDArray[np.uint8] = np.zeros(region.shape, np.uint8)
        self.windows: list[tuple[int, int, int, int]] = []  # of each piece: y0, y1, x0, x1
        self.free = [region.astype(np.uint8), (~region).astype(np.uint8)]  # of each, not yet covered
        self.pixels = [np.flatnonzero(region), np.flatnonzero(~region)]
        self.area = np.array([len(pixels) for pixels in self.pixels])
        self.slack = np.maximum(TOLERANCE * self.area, PIXELS)
        wanted = [
            rng.uniform(low + TOLERANCE, high - TOLERANCE) if high else 0.0
            for low, high in (share, background)
        ]
        self.missing = np.array(wanted) * self.area
        self.allowed = np.array(background) * self.area[1]  # of the background

    @property
    def full(self) -> bool:
        """Whether both shares are met."""
        return bool((self.missing <= self.slack).all())

    @property
    def emptier(self) -> int:
        """0 or 1: object or background, whichever lacks the larger share of itself."""
        return int(np.argmax(np.where(self.missing > self.slack, self.missing, 0) / np.maximum(self.area, 1)))

    def place(self, part: int, rng: np.random.Generator) -> tuple[float, float]:
        """Where to put a piece (x, y): any pixel of the part."""
        index = self.pixels[part][rng.integers(len(self.pixels[part]))]
        row, column = divmod(int(index), self.free[part].shape[-1])
        return float(column), float(row)

    def anywhere(self, first: bool, rng: np.random.Generator) -> tuple[float, float]:
        """A place for an occluder: every second first one on the object, all others anywhere in the frame."""
        if first and rng.random() < 0.5:
            return self.place(0, rng)
        height, width = self.mask.shape
        return rng.uniform(0, width), rng.uniform(0, height)

    def fitting_area(self, pieces: Sequence[Piece]) -> float | None:
        """The area in px at which the pieces, equally large, cover what is missing of the object; None if at none."""
        low, high = 1.0, 16.0 * self.mask.size
        for _ in range(BISECTIONS):
            middle = math.sqrt(low * high)
            lacking = self.missing[0] - self.gained_by(pieces, middle)[0]
            if abs(lacking) <= self.slack[0]:
                return middle
            low, high = (middle, high) if lacking > 0 else (low, middle)
        return None

    def gained_by(self, pieces: Sequence[Piece], area: float) -> NDArray[np.int64]:
        """What pieces of this size would cover of either part that is not covered yet."""
        union = np.zeros_like(self.mask)
        for piece in pieces:
            stencil, corner = piece.stencil(area, self.mask.shape)
            union[window_of(stencil, corner)] |= stencil
        return np.array([cv2.countNonZero(free & union) for free in self.free])

    def put(self, pieces: Sequence[Piece], area: float) -> None:
        """Paste pieces of this size, one over the other."""
        for piece in pieces:
            stencil, corner = piece.stencil(area, self.mask.shape)
            if stencil.any():
                self.add(stencil, corner, piece.pixels(area, self.mask.shape))

    def add(self, stencil: Stencil, corner: Corner, patch: Image) -> None:
        """Paste what is in a stencil."""
        window = window_of(stencil, corner)
        gained = [cv2.countNonZero(free[window] & stencil) for free in self.free]
        self.missing = self.missing - gained
        lay(self.image, self.mask, stencil, corner, patch, self.rng)
        for free in self.free:
            free[window] &= 1 - stencil
        rows, columns = window
        self.windows.append((rows.start, rows.stop, columns.start, columns.stop))

    @property
    def shares(self) -> tuple[float, float]:
        """Covered of the object, of the background; NaN of one that is empty."""
        left = (cv2.countNonZero(free) if free.size else 0 for free in self.free)
        one, other = (
            1 - n / area if area else math.nan for n, area in zip(left, self.area.tolist(), strict=True)
        )
        return one, other


def window_of(stencil: Stencil, corner: Corner) -> tuple[slice, slice]:
    """The rows and columns of the frame that a stencil takes up."""
    height, width = stencil.shape
    return slice(corner[1], corner[1] + height), slice(corner[0], corner[0] + width)

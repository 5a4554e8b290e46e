"""Synthetic occluders: pieces of other photos pasted over an object.

Training pastes them on crops and calibration on whole images, through the same function, so a call costs
well under a millisecond on a crop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from coke_edge.train.data.sample import HIDDEN, VISIBLE

Image = NDArray[np.uint8]  # [H, W, 3] BGR
Mask = NDArray[np.bool_]  # [H, W]

MAX_PIECES = 24
TOLERANCE = 0.02  # of the box


def regular(corners: int) -> NDArray[np.float64]:
    """A regular polygon [corners, 2] in the unit circle."""
    angle = 2 * math.pi * np.arange(corners) / corners
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


SQUARE = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
CIRCLE = regular(24)
STAR = regular(12)  # its corners are drawn inwards to an irregular outline
NEXT = np.roll(np.arange(len(STAR)), -1)


def paste_occluders(
    image: Image,
    box: ArrayLike,
    rng: np.random.Generator,
    photos: Sequence[Image],
    coverage: tuple[float, float],
    background: tuple[float, float] = (0.0, 0.0),
) -> tuple[Image, Mask]:
    """A copy of `image` with occluders over `box` [4] (x0, y0, x1, y1), and the mask of what they cover.

    The covered share of the box (of its part inside the image) is drawn evenly from `coverage`, that of the rest of the
    image from `background`, and met within two hundredths; pieces may reach from one into the other, and where those of
    the background cover more of the box than was drawn, it gets none of its own. Occluders are ellipses, rectangles and
    irregular outlines, cut from `photos`, uint8 [h, w, 3] of any size, or, if there are none, from smooth coloured
    noise. A box outside the image gets none.
    """
    height, width = image.shape[:2]
    x0, y0 = (max(0, math.ceil(v)) for v in np.asarray(box, dtype=np.float64)[:2])
    x1, y1 = (math.floor(v) + 1 for v in np.asarray(box, dtype=np.float64)[2:])
    window = Window(x0, y0, min(width, x1), min(height, y1))
    out, cover = image.copy(), np.zeros((height, width), np.uint8)
    if background[1] > 0:
        rest = height * width - window.area
        wanted = rng.uniform(*background) * rest
        cover_up(
            out, cover, wanted, rest, window.covered_beside, lambda: window.beside(cover, rng), photos, rng
        )
    wanted = rng.uniform(*coverage) * window.area
    cover_up(out, cover, wanted, window.area, window.covered, lambda: window.point(rng), photos, rng)
    return out, cover.astype(bool)


class Window(NamedTuple):
    """The pixels of a box that lie inside an image; the second corner is exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def area(self) -> int:
        return max(0, self.x1 - self.x0) * max(0, self.y1 - self.y0)

    def covered(self, cover: Image) -> int:
        """How many of its pixels are set in `cover`."""
        return cv2.countNonZero(cover[self.y0 : self.y1, self.x0 : self.x1]) if self.area else 0

    def covered_beside(self, cover: Image) -> int:
        """How many of all others are."""
        return cv2.countNonZero(cover) - self.covered(cover)

    def point(self, rng: np.random.Generator) -> tuple[float, float]:
        """Anywhere inside."""
        return rng.uniform(self.x0, self.x1), rng.uniform(self.y0, self.y1)

    def beside(self, cover: Image, rng: np.random.Generator) -> tuple[float, float]:
        """Anywhere else in the frame of `cover`."""
        for _ in range(MAX_PIECES):
            x, y = rng.uniform(0, cover.shape[1]), rng.uniform(0, cover.shape[0])
            if not (self.x0 <= x < self.x1 and self.y0 <= y < self.y1):
                break
        return x, y


def cover_up(
    image: Image,
    cover: Image,
    wanted: float,
    area: int,
    covered: Callable[[Image], int],
    centre: Callable[[], tuple[float, float]],
    photos: Sequence[Image],
    rng: np.random.Generator,
) -> None:
    """Paste pieces around `centre()`, in place, until `covered(cover)` is `wanted` px of an `area`."""
    for _ in range(MAX_PIECES):
        missing = wanted - covered(cover)
        if missing <= TOLERANCE * area:
            break
        # What falls beside the area or on an earlier piece covers less than its size: the next one makes up.
        piece = missing * (rng.uniform(0.5, 1.0) if missing > 0.1 * area else 1.0)
        paste(image, cover, outline(centre(), piece, rng), photos, rng)


def outline(centre: tuple[float, float], area: float, rng: np.random.Generator) -> NDArray[np.int32]:
    """The polygon [m, 2] of an ellipse, rectangle or irregular blob of about `area` px, turned at random."""
    kind = rng.integers(3)
    if kind == 0:
        shape, unit_area = SQUARE, 4.0
    elif kind == 1:
        shape, unit_area = CIRCLE, math.pi
    else:
        radius = rng.uniform(0.5, 1.0, (len(STAR), 1))
        shape = radius * STAR
        unit_area = 0.5 * math.sin(2 * math.pi / len(STAR)) * float(radius[:, 0] @ radius[NEXT, 0])
    turn, stretch = rng.uniform(0, 2 * math.pi), math.exp(rng.uniform(-0.4, 0.4))
    cos, sin = math.cos(turn), math.sin(turn)
    size = math.sqrt(area / unit_area)
    a, b = size * stretch, size / stretch
    turned = shape @ np.array([[a * cos, a * sin], [-b * sin, b * cos]]) + centre
    return np.asarray(np.rint(turned), dtype=np.int32)


def paste(
    image: Image, cover: Image, polygon: NDArray[np.int32], photos: Sequence[Image], rng: np.random.Generator
) -> None:
    """Fill `polygon` in `image` with a piece of a photo, in place, and set `cover` to 1 there."""
    stencil, corner = filled(polygon, cover.shape)
    if stencil.size:
        lay(image, cover, stencil, corner, texture(photos, stencil.shape, rng), rng)


def filled(polygon: NDArray[np.int32], shape: tuple[int, ...]) -> tuple[Image, tuple[int, int]]:
    """The stencil uint8 [h, w] of a polygon [m, 2] in a frame of `shape`, and its upper left corner (x, y).

    It is 1 inside the polygon and 0 elsewhere, cut off at the frame; empty if the polygon lies outside.
    """
    height, width = shape
    x0, y0 = np.maximum(polygon.min(axis=0), 0)
    x1, y1 = np.minimum(polygon.max(axis=0) + 1, [width, height])
    if x1 <= x0 or y1 <= y0:
        return np.zeros((0, 0), np.uint8), (0, 0)
    stencil = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(stencil, [polygon - [x0, y0]], 1)
    return stencil, (int(x0), int(y0))


def lay(
    image: Image,
    cover: Image,
    stencil: Image,
    corner: tuple[int, int],
    patch: Image,
    rng: np.random.Generator,
) -> None:
    """Put `patch` [h, w, 3] where `stencil` [h, w] is 1, from `corner` (x, y) on, in place; set `cover` to 1 there."""
    window = np.s_[corner[1] : corner[1] + stencil.shape[0], corner[0] : corner[0] + stencil.shape[1]]
    region = image[window]
    if rng.random() < 0.5:  # a soft edge, lest a sharp one be what gives an occluder away
        weight = cv2.GaussianBlur(stencil.astype(np.float32), (5, 5), 0) * stencil
        region[:] = cv2.blendLinear(patch, region, weight, 1 - weight)
    else:
        cv2.copyTo(patch, stencil, region)
    cover[window] |= stencil


def texture(photos: Sequence[Image], shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    """uint8 [h, w, 3] of `shape`: a random window of a random photo, or smooth noise if there is no photo."""
    height, width = shape
    if len(photos) == 0:
        noise = rng.integers(0, 256, (*rng.integers(2, 9, 2), 3), dtype=np.uint8)
        return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    photo = photos[int(rng.integers(len(photos)))]
    rows, columns = photo.shape[:2]
    # The window may be up to half or twice the patch: textures at several scales.
    zoom = min(math.exp(rng.uniform(-0.7, 0.7)), rows / height, columns / width)
    h, w = max(1, int(zoom * height)), max(1, int(zoom * width))
    top, left = rng.integers(rows - h + 1), rng.integers(columns - w + 1)
    window = photo[top : top + h, left : left + w]
    if rng.random() < 0.5:
        window = window[:, ::-1]
    return np.asarray(cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def hide_covered(points: ArrayLike, visibility: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8]:
    """Visibility flags [K] where a visible keypoint, points [K, 2], whose pixel is in `mask` is HIDDEN."""
    height, width = mask.shape
    column, row = np.rint(np.nan_to_num(np.asarray(points, dtype=np.float64), nan=-1.0)).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    covered = np.zeros(len(visibility), dtype=bool)
    covered[inside] = mask[row[inside], column[inside]]
    return np.where(covered & (visibility == VISIBLE), HIDDEN, visibility).astype(np.uint8)

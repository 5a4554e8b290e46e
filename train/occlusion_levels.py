"""The occlusion protocol: images covered to levels after OccludedPASCAL3D+, repeatable object by object.

| level | of the object | of the background |
|---|---|---|
| L0 | nothing | nothing |
| L1 | 20–40 % | 0–20 % |
| L2 | 40–60 % | 20–40 % |
| L3 | 60–80 % | 40–60 % |

The object is its annotated box, or the part of it inside the frame: no data set read here comes with outlines. The
background is the rest of the frame. Both shares are drawn evenly from the level's ranges, less a hundredth at both
ends, and then met within a hundredth, so that they lie in the ranges; of an area below 400 px they are met within 4 px.

Each object gets an image of its own, even if several stand in one photo. Its occluders depend on the level, the seed,
the object's key in its data set and the files of the folder of occluders: not on the order in which objects are
covered, nor on the process. On another machine the same versions of numpy and OpenCV give the same pixels; where that
is not enough, write the images once (train/data/occluded_write.py) and hand them on.
"""

from __future__ import annotations

import dataclasses
import math
from hashlib import sha256
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from coke_edge.errors import DataError
from coke_edge.train.data.sample import COVERED, UNLABELLED, VISIBLE, Sample
from coke_edge.train.occluders import Occluders
from coke_edge.train.occlusion import filled, hide_covered, lay, outline, texture

Image = NDArray[np.uint8]  # [H, W, 3] BGR
Mask = NDArray[np.bool_]  # [H, W]
Stencil = NDArray[np.uint8]  # [h, w], 1 inside
Share = tuple[float, float]

LEVELS: dict[str, tuple[Share, Share]] = {  # of the object, of the background
    "L0": ((0.0, 0.0), (0.0, 0.0)),
    "L1": ((0.2, 0.4), (0.0, 0.2)),
    "L2": ((0.4, 0.6), (0.2, 0.4)),
    "L3": ((0.6, 0.8), (0.4, 0.6)),
}
TOLERANCE = 0.01  # of an area …
PIXELS = 4  # … and at least so many px
MAX_TRIES = 2000
SMALLER = 0.85  # a piece that does not fit is tried again, somewhere else and this much smaller


class Occluded(NamedTuple):
    """An image with occluders."""

    image: Image
    mask: Mask  # where they are
    object_share: float  # covered; NaN if the object lies outside the frame
    background_share: float  # covered; NaN if there is no background
    windows: list[tuple[int, int, int, int]]  # of each occluder: y0, y1, x0, x1, the second ones exclusive
    met: bool  # whether both shares are what was drawn


def parse_levels(text: str) -> list[str]:
    """The levels of "L0,L1,L2,L3", in the order written. Raises DataError for what is no level or stands twice."""
    levels = [part.strip() for part in text.split(",")]
    unknown = [level for level in levels if level not in LEVELS]
    if unknown or len(set(levels)) < len(levels):
        said = f"'{unknown[0]}' is no level of occlusion" if unknown else f"a level stands twice in '{text}'"
        raise DataError(f"{said}: write some of {', '.join(LEVELS)} (commas between)")
    return levels


def generator(level: str, seed: int, key: str) -> np.random.Generator:
    """What the occluders of the object `key` are drawn with."""
    digest = sha256(f"{level}:{key}".encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, "<u4").tolist()])


def box_region(box: ArrayLike, shape: tuple[int, ...]) -> Mask:
    """The pixels of a frame of `shape` whose centres lie in a box [4], [H, W]."""
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64)
    region = np.zeros(shape[:2], dtype=bool)
    region[
        max(0, math.ceil(y0)) : max(0, math.floor(y1) + 1), max(0, math.ceil(x0)) : max(0, math.floor(x1) + 1)
    ] = 1
    return region


def occlude_sample(
    image: Image, sample: Sample, level: str, occluders: Occluders | None, seed: int
) -> Occluded:
    """The image of an object, covered to a level. Raises DataError as `Occluders.draw` does."""
    rng = generator(level, seed, sample.key)
    return occlude(image, box_region(sample.box, image.shape), level, occluders, rng)


def occlude(
    image: Image, region: Mask, level: str, occluders: Occluders | None, rng: np.random.Generator
) -> Occluded:
    """A copy of `image` with occluders over the object `region` [H, W] and its background, to a level.

    Only L0 needs no `occluders`.
    """
    cover = Cover(image, region, level, rng)
    fit = 1.0  # how much smaller than wanted pieces are at the moment
    for _ in range(MAX_TRIES):
        if cover.full:
            break
        if occluders is None:
            raise DataError("there are no occluders: name a folder of images to cut them from")
        part = cover.emptier
        missing = cover.missing[part]
        area = fit * missing * (rng.uniform(0.3, 0.8) if missing > 5 * cover.slack[part] else 1.0)
        stencil, corner, patch = piece(cover.place(part, rng), max(1.0, area), occluders, region.shape, rng)
        gained = cover.gained(stencil, corner)
        if (gained > cover.missing + cover.slack).any():
            fit *= SMALLER
        elif gained[part]:
            fit = min(1.0, fit / SMALLER**3)
            cover.add(stencil, corner, patch, rng)
    return cover.result()


class Cover:
    """An image under work; pairs are of object and background, in px."""

    def __init__(self, image: Image, region: Mask, level: str, rng: np.random.Generator) -> None:
        self.image = image.copy()
        self.mask = np.zeros(region.shape, np.uint8)
        self.free = [region.astype(np.uint8), (~region).astype(np.uint8)]  # of each, not yet covered
        self.pixels = [np.flatnonzero(region), np.flatnonzero(~region)]
        self.area = np.array([len(pixels) for pixels in self.pixels])
        self.slack = np.maximum(TOLERANCE * self.area, PIXELS)
        wanted = [
            rng.uniform(low + TOLERANCE, high - TOLERANCE) if high else 0.0 for low, high in LEVELS[level]
        ]
        self.missing = np.array(wanted) * self.area
        self.windows: list[tuple[int, int, int, int]] = []

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

    def gained(self, stencil: Stencil, corner: tuple[int, int]) -> NDArray[np.int64]:
        """What a piece would cover of each that is not covered yet."""
        window = window_of(stencil, corner)
        return np.array(
            [cv2.countNonZero(free[window] & stencil) if stencil.size else 0 for free in self.free]
        )

    def add(self, stencil: Stencil, corner: tuple[int, int], patch: Image, rng: np.random.Generator) -> None:
        """Paste a piece."""
        window = window_of(stencil, corner)
        self.missing = self.missing - self.gained(stencil, corner)
        lay(self.image, self.mask, stencil, corner, patch, rng)
        for free in self.free:
            free[window] &= 1 - stencil
        rows, columns = window
        self.windows.append((rows.start, rows.stop, columns.start, columns.stop))

    def result(self) -> Occluded:
        left = [cv2.countNonZero(free) if free.size else 0 for free in self.free]
        shares = [
            1 - n / area if area else math.nan for n, area in zip(left, self.area.tolist(), strict=True)
        ]
        met = self.full and bool(self.area[0])
        return Occluded(self.image, self.mask.astype(bool), shares[0], shares[1], self.windows, met)


def window_of(stencil: Stencil, corner: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of the frame that a stencil takes up."""
    height, width = stencil.shape
    return slice(corner[1], corner[1] + height), slice(corner[0], corner[0] + width)


def piece(
    centre: tuple[float, float],
    area: float,
    occluders: Occluders,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> tuple[Stencil, tuple[int, int], Image]:
    """An occluder of about `area` px: stencil [h, w], its corner in a frame of `shape`, and its pixels [h, w, 3]."""
    drawn = occluders.draw(rng)
    if drawn.shape[2] == 4:
        return cut_out(drawn, centre, area, shape, rng)
    stencil, corner = filled(outline(centre, area, rng), shape)
    patch = texture([drawn], stencil.shape, rng) if stencil.size else np.zeros((0, 0, 3), np.uint8)
    return stencil, corner, patch


def cut_out(
    drawn: Image, centre: tuple[float, float], area: float, shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[Stencil, tuple[int, int], Image]:
    """A cut-out [h, w, 4] scaled to `area` opaque px, perhaps mirrored, with the part of it inside the frame."""
    opaque = (drawn[..., 3] >= 128).astype(np.uint8)
    zoom = math.sqrt(area / cv2.countNonZero(opaque))
    height, width = (max(1, round(zoom * side)) for side in opaque.shape)
    size = (width, height)
    mode = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    stencil = (cv2.resize(opaque * np.uint8(255), size, interpolation=mode) >= 128).astype(np.uint8)
    patch = cv2.resize(np.ascontiguousarray(drawn[..., :3]), size, interpolation=mode)
    if rng.random() < 0.5:
        stencil, patch = stencil[:, ::-1], patch[:, ::-1]
    x, y = round(centre[0] - width / 2), round(centre[1] - height / 2)
    left, top, right, bottom = max(0, -x), max(0, -y), min(width, shape[1] - x), min(height, shape[0] - y)
    if right <= left or bottom <= top:
        return np.zeros((0, 0), np.uint8), (0, 0), np.zeros((0, 0, 3), np.uint8)
    window = np.s_[top:bottom, left:right]
    return (
        np.ascontiguousarray(stencil[window]),
        (x + left, y + top),
        np.ascontiguousarray(patch[window], dtype=np.uint8),
    )


def covered_sample(sample: Sample, mask: Mask) -> Sample:
    """The sample under occluders `mask` [H, W]: visible keypoints there are HIDDEN.

    Its meta has COVERED, uint8 [K]: the flag that a keypoint under an occluder had, UNLABELLED for the others. Such
    keypoints are scored for visibility, never for position.
    """
    everywhere = np.full(len(sample.visibility), VISIBLE, np.uint8)
    under = hide_covered(sample.keypoints, everywhere, mask) != VISIBLE
    covered = np.where(under, sample.visibility, UNLABELLED).astype(np.uint8)
    hidden = hide_covered(sample.keypoints, sample.visibility, mask)
    return dataclasses.replace(sample, visibility=hidden, meta={**sample.meta, COVERED: covered})

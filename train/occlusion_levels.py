"""The occlusion protocol: images covered to levels after OccludedPASCAL3D+, repeatable object by object.

| level | of the object | of the background |
|---|---|---|
| L0 | nothing | nothing |
| L1 | 20–40 % | 0–20 % |
| L2 | 40–60 % | 20–40 % |
| L3 | 60–80 % | 40–60 % |

The object is its annotated box, or the part of it inside the frame: no data set read here comes with outlines. The
background is the rest of the frame. The object's share is drawn evenly from the level's range, less a hundredth at both
ends, and then met within a hundredth, so that it lies in the range; of an area below 400 px it is met within 4 px.

As in OccludedPASCAL3D+, one to three occluders cover an image, most often one. They are placed at random and scaled
together until they cover the object's share; the arrangement is taken if the background's share then lies in its range.
Where no arrangement of many does, as with a small object in a large frame, smaller pieces make up for the background.

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

import numpy as np
from numpy.typing import ArrayLike

from coke_edge.errors import DataError
from coke_edge.train.data.sample import COVERED, UNLABELLED, VISIBLE, Sample
from coke_edge.train.occluder_arrangement import Cover, Mask, Share, arrange, make_up
from coke_edge.train.occluder_pieces import Image
from coke_edge.train.occluders import Occluders
from coke_edge.train.occlusion import hide_covered

LEVELS: dict[str, tuple[Share, Share]] = {  # of the object, of the background
    "L0": ((0.0, 0.0), (0.0, 0.0)),
    "L1": ((0.2, 0.4), (0.0, 0.2)),
    "L2": ((0.4, 0.6), (0.2, 0.4)),
    "L3": ((0.6, 0.8), (0.4, 0.6)),
}


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
    cover = Cover(image, region, *LEVELS[level], rng)
    if not cover.full:
        if occluders is None:
            raise DataError("there are no occluders: name a folder of images to cut them from")
        arrange(cover, occluders, rng)
        make_up(cover, occluders, rng)
    met = cover.full and bool(region.any())
    return Occluded(cover.image, cover.mask.astype(bool), *cover.shares, cover.windows, met)


def covered_sample(sample: Sample, mask: Mask) -> Sample:
    """The sample under occluders `mask` [H, W]: visible keypoints there are HIDDEN.

    Its meta has COVERED, uint8 [K]: the flag that a keypoint under an occluder had, UNLABELLED for the others. Such
    keypoints are scored for visibility, and for their place apart from all others.
    """
    everywhere = np.full(len(sample.visibility), VISIBLE, np.uint8)
    under = hide_covered(sample.keypoints, everywhere, mask) != VISIBLE
    covered = np.where(under, sample.visibility, UNLABELLED).astype(np.uint8)
    hidden = hide_covered(sample.keypoints, sample.visibility, mask)
    return dataclasses.replace(sample, visibility=hidden, meta={**sample.meta, COVERED: covered})

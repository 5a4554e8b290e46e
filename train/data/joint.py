"""The keypoints of several categories as one layout, so that one model learns them all.

The names get their category before them (`car/left_front_wheel`); lines and flip pairs stay within a category. A
sample labels the keypoints of its own category, the others are UNLABELLED. One category alone keeps its plain names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import DataError
from coke_edge.manifest import Keypoints2D
from coke_edge.train.data.sample import UNLABELLED

SEPARATOR = "/"


@dataclasses.dataclass(frozen=True)
class JointLayout:
    """All keypoints, and where those of each category begin."""

    keypoints: Keypoints2D
    first: Mapping[str, int]  # category → index of its first keypoint

    def place(
        self, category: str, points: NDArray[np.float32], visibility: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Keypoints [k, 2] and flags [k] of one category among all K."""
        count = len(self.keypoints.names)
        everywhere = np.full((count, 2), np.nan, dtype=np.float32)
        flags = np.full(count, UNLABELLED, dtype=np.uint8)
        own = slice(self.first[category], self.first[category] + len(points))
        everywhere[own], flags[own] = points, visibility
        return everywhere, flags


def join(parts: Mapping[str, Keypoints2D]) -> JointLayout:
    """The layout of these categories, in their order."""
    if len(parts) == 1:
        category, keypoints = next(iter(parts.items()))
        return JointLayout(keypoints, {category: 0})
    names: list[str] = []
    pairs: dict[str, list[tuple[int, int]]] = {"skeleton": [], "flip_pairs": []}
    first: dict[str, int] = {}
    for category, keypoints in parts.items():
        start = first[category] = len(names)
        names += [f"{category}{SEPARATOR}{name}" for name in keypoints.names]
        for field, shifted in pairs.items():
            shifted += [(start + a, start + b) for a, b in getattr(keypoints, field)]
    joined: dict[str, Any] = {field: tuple(shifted) for field, shifted in pairs.items()}
    return JointLayout(Keypoints2D(tuple(names), **joined), first)


def chosen_categories(text: str, known: tuple[str, ...], spec: str) -> tuple[str, ...]:
    """The categories that `car,bus` or `all` names, in the order of `known` whatever order they are written in.

    So the same categories are the same model. Raises DataError for one that is not known or none at all.
    """
    wanted = set(known) if text == "all" else {part.strip() for part in text.split(",")}
    unknown = sorted(wanted - set(known))
    if unknown:
        said = f"'{unknown[0]}' is no category" if unknown[0] else "no category is given"
        raise DataError(
            f"{spec}: {said}, add ?category= with all, or some (commas between) of {', '.join(known)}"
        )
    return tuple(category for category in known if category in wanted)

"""Boxes from your own detector, in every frame."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coke_edge.keypoints import Keypoints
from coke_edge.stream.region import Boxes, Finder, Image, Seen, as_boxes

SAME = 0.3  # boxes of two frames with at least this intersection over union are one object


class FoundRegion:
    """Asks a function for the boxes of every frame; an object keeps its number while its boxes overlap."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._numbers = itertools.count()
        self._last: list[Seen] = []

    def boxes(self, image: Image) -> Boxes:
        """See `Region`."""
        return as_boxes(self._finder(image))

    def take(self, found: Sequence[Keypoints]) -> list[Seen]:
        """See `Region`."""
        before = dict(self._last)
        pairs = [
            (intersection_over_union(keypoints.box, last.box), i, number)
            for i, keypoints in enumerate(found)
            for number, last in before.items()
        ]
        numbers: dict[int, int] = {}
        for overlap, i, number in sorted(pairs, key=lambda pair: -pair[0]):  # the surest first
            if overlap >= SAME and i not in numbers and number in before:
                numbers[i] = number
                del before[number]
        self._last = [
            (numbers[i] if i in numbers else next(self._numbers), keypoints)
            for i, keypoints in enumerate(found)
        ]
        return self._last


def intersection_over_union(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Of two boxes [4], 0 … 1."""
    both = float(np.prod(np.maximum(0.0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]))))
    return both / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)

"""Where to look in a frame: all of it, fixed boxes, or wherever the object was a frame ago."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coke_edge.errors import StreamError
from coke_edge.keypoints import Keypoints

Image: TypeAlias = NDArray[np.uint8]  # [H, W, 3] BGR
Boxes: TypeAlias = Sequence[
    "ArrayLike | None"
]  # x0, y0, x1, y1 each in frame pixels; None is the whole frame
Finder: TypeAlias = Callable[
    [Image], "ArrayLike | Boxes"
]  # your own detector: frame → boxes [N, 4], N may be 0
Seen: TypeAlias = tuple[int, Keypoints]  # who it is, and its keypoints

FRAME, TRACK = "frame", "track"
KINDS = f'"{FRAME}", "{TRACK}", boxes (x0, y0, x1, y1), a function from a frame to boxes, or NAME.onnx, a detector'


@runtime_checkable
class Region(Protocol):
    """Says where to look in each frame and which of what was found there goes into the result."""

    def boxes(self, image: Image) -> Boxes:
        """The boxes to search in this frame; they become one batch."""
        ...

    def take(self, found: Sequence[Keypoints]) -> list[Seen]:
        """The objects of the result, given what is at the boxes just asked for.

        An object that is certainly the same one as in the last frame keeps its number; every other number is new.
        """
        ...


RegionLike: TypeAlias = "Region | Finder | Boxes | str | os.PathLike[str]"


class FixedRegion:
    """The same boxes in every frame; None is the whole frame."""

    def __init__(self, boxes: Boxes = (None,)) -> None:
        self._boxes = list(boxes)

    def boxes(self, image: Image) -> Boxes:
        """See `Region`."""
        return self._boxes

    def take(self, found: Sequence[Keypoints]) -> list[Seen]:
        """See `Region`."""
        return list(enumerate(found))


def open_region(region: RegionLike = FRAME, track: bool = False) -> Region:
    """The region that a word, boxes, a function frame → boxes or the path of an ONNX detector stands for.

    With `track`, boxes are the places where objects are looked for until they are found and when they are lost,
    one object each; a function or a detector is asked only when the one object is lost.

    Raises StreamError if it is none of these.
    """
    from coke_edge.stream.finder import FoundRegion
    from coke_edge.stream.tracking import TrackedRegion

    if isinstance(region, Region):
        return region
    if isinstance(region, str | os.PathLike):
        if region in (FRAME, TRACK):
            return TrackedRegion() if track or region == TRACK else FixedRegion()
        if not os.fspath(region).lower().endswith(".onnx"):
            raise StreamError(f"there is no region {os.fspath(region)!r}; give {KINDS}")
        from coke_edge.stream.onnx_finder import OnnxFinder

        region = OnnxFinder(region)
    if callable(region):
        return TrackedRegion([region]) if track else FoundRegion(region)
    boxes = as_boxes(region)
    return TrackedRegion([always(box) for box in boxes]) if track else FixedRegion(boxes)


def always(box: ArrayLike | None) -> Finder:
    """A finder that names one place."""
    return lambda image: [box]


def as_boxes(found: ArrayLike | Boxes) -> list[NDArray[np.float64] | None]:
    """Boxes [N, 4], or a list of boxes and Nones, checked. Raises StreamError if they are something else."""
    if not isinstance(found, Sequence | np.ndarray):
        raise StreamError(f"no boxes: {type(found).__name__}; give rows x0, y0, x1, y1 in frame pixels")
    checked: list[NDArray[np.float64] | None] = []
    for box in found:
        try:
            values = None if box is None else np.asarray(box, dtype=np.float64)
        except (TypeError, ValueError):
            values = np.empty(0)
        good = values is None or (values.shape == (4,) and bool((values[:2] < values[2:]).all()))
        if not good:
            raise StreamError(f"not a box: {box!r}; give x0, y0, x1, y1 in frame pixels, x0 < x1 and y0 < y1")
        checked.append(values)
    return checked

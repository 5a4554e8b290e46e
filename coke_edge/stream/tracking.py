"""Objects followed from frame to frame, each in its own box, and searched for when they are lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from coke_edge.detector import overlap
from coke_edge.geometry import frame_box
from coke_edge.keypoints import Keypoints
from coke_edge.stream.follow import Box, Following, next_box
from coke_edge.stream.region import Boxes, Finder, Image, Seen
from coke_edge.stream.search import Search


class TrackedRegion:
    """One object per finder; the boxes of all of them are one batch.

    A finder names the places to look at while its object is lost; None looks at the whole frame and then at ever
    smaller parts of it (`Sweep`).
    """

    def __init__(
        self, finders: Sequence[Finder | None] = (None,), following: Following | None = None
    ) -> None:
        numbers = itertools.count()
        following = following or Following()
        self._tracks = [Track(finder, following, numbers) for finder in finders]
        self._counts: list[int] = []

    def boxes(self, image: Image) -> Boxes:
        """See `Region`."""
        asked = [track.boxes(image) for track in self._tracks]
        self._counts = [len(boxes) for boxes in asked]
        return [box for boxes in asked for box in boxes]

    def take(self, found: Sequence[Keypoints]) -> list[Seen]:
        """See `Region`. While an object is lost, the best of what was searched stands for it, if anything was."""
        ends = itertools.accumulate(self._counts)
        parts = [found[end - count : end] for count, end in zip(self._counts, ends, strict=True)]
        return [track.take(part) for track, part in zip(self._tracks, parts, strict=True) if part]


class Track:
    """One object: in its box, or searched for."""

    def __init__(self, finder: Finder | None, following: Following, numbers: Iterator[int]) -> None:
        self._finder, self._following, self._numbers = finder, following, numbers
        self._box: Box | None = None
        self._number = next(numbers)
        self._search = Search(finder, following)

    def boxes(self, image: Image) -> Boxes:
        """The object's box; where to look for it while it is lost, or once it has left the frame."""
        if self._box is not None and not overlap(self._box, frame_box(image.shape[1], image.shape[0])):
            self._lose()
        return self._search.boxes(image) if self._box is None else [self._box]

    def take(self, found: Sequence[Keypoints]) -> Seen:
        """The object, or the best guess while it is searched for, whose number is new each time."""
        if self._box is None:
            best, self._box = self._search.take(found)
            self._number = next(self._numbers)
            return self._number, best
        [best] = found
        number = self._number
        value, thresholds = self._following.judge(best)
        self._box = next_box(best, self._box, self._following) if value >= thresholds.lost else None
        if self._box is None:
            self._lose()
        return number, best

    def _lose(self) -> None:
        self._box = None
        self._number = next(self._numbers)
        self._search = Search(self._finder, self._following)

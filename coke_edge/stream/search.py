"""Finding one object again: look at many places, follow the best of them, and decide when all have been seen."""

from __future__ import annotations

from collections.abc import Sequence

from coke_edge.detector import overlap
from coke_edge.geometry import frame_box
from coke_edge.keypoints import Keypoints
from coke_edge.stream.follow import Box, Following, next_box
from coke_edge.stream.region import Boxes, Finder, Image, as_boxes
from coke_edge.stream.sweep import Sweep


class Search:
    """A search with a finder, or with a sweep of its own over the frame.

    A window that holds background by chance looks like an object until it is compared with the object itself. So the
    sweep goes on to its end while the best place so far is followed beside it, unless that is very sure.
    """

    def __init__(self, finder: Finder | None, following: Following) -> None:
        self._finder: Finder = finder or Sweep()
        self._following = following
        self._held: list[Box] = []  # the best place so far, and the best one of the last frame's windows

    def boxes(self, image: Image) -> Boxes:
        """Where to look in an image [H, W, 3]."""
        whole = frame_box(image.shape[1], image.shape[0])
        self._held = [box for box in self._held if overlap(box, whole)]
        return [*self._held, *as_boxes(self._finder(image))]

    def take(self, found: Sequence[Keypoints]) -> tuple[Keypoints, Box | None]:
        """The best of what was found, and the object's next box if the search is over."""
        windows = found[len(self._held) :]
        leader = max(found, key=self._value)
        first = next_box(leader, None, self._following)
        second = next_box(max(windows, key=self._value), None, self._following) if windows else None
        self._held = [box for box in (first, second) if box is not None]
        value, thresholds = self._following.judge(leader)
        finished = not isinstance(self._finder, Sweep) or self._finder.finished
        return leader, first if value >= (thresholds.found if finished else thresholds.sure) else None

    def _value(self, keypoints: Keypoints) -> float:
        return self._following.judge(keypoints)[0]

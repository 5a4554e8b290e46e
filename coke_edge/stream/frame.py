"""What flows: frames from a source, results to the sinks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coke_edge.keypoints import Keypoints


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source."""

    index: int  # 0, 1, … in its source
    image: NDArray[np.uint8]  # [H, W, 3] BGR
    name: str  # of the picture, with its suffix, relative to the source: "im0001.jpg", "walk.mp4/000012"
    time: float | None = None  # seconds since the start of a video; None for pictures
    path: Path | None = None  # the file it was read from, which no sink may overwrite


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What was detected in one frame."""

    frame: Frame
    objects: tuple[Keypoints, ...]  # one for each region that was searched
    latency: float  # seconds from the decoded frame in memory to its keypoints

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, less the latency: the same in every run on the same file."""
        return {
            "index": self.frame.index,
            "name": self.frame.name,
            "time": self.frame.time,
            "objects": [keypoints.to_dict() for keypoints in self.objects],
        }


class Source(Protocol):
    """Frames in order; read once."""

    frames_per_second: float | None  # None where the frames have no clock
    length: int | None  # how many frames there will be, None if that is not known

    def __iter__(self) -> Iterator[Frame]:
        """The frames. Raises DataError or StreamError if one cannot be read."""
        ...


class Sink(Protocol):
    """Takes results one by one; leaving its `with` block finishes what it writes, whatever ended the run."""

    written: list[str]  # files or folders that hold results by now, "-" for stdout

    def __call__(self, result: Result) -> None:
        """Take one result. Raises StreamError if it cannot be written."""
        ...

    def __enter__(self) -> Sink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

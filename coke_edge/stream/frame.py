"""What flows: frames from a source, results to the sinks."""

from __future__ import annotations

import dataclasses
import time
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

    index: int  # 0, 1, … in its source; frames that a live source dropped have numbers too
    image: NDArray[np.uint8]  # [H, W, 3] BGR
    name: str  # of the picture, with its suffix, relative to the source: "im0001.jpg", "walk.mp4/000012"
    time: float | None = None  # seconds since the start of a video or a live source; None for pictures
    path: Path | None = None  # the file it was read from, which no sink may overwrite
    captured: float | None = None  # time.monotonic() when a live source had it; None for files
    dropped: int = 0  # frames of the source, so far, that came too fast or were damaged


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What was detected in one frame."""

    frame: Frame
    objects: tuple[Keypoints, ...]  # one for each region that was searched
    latency: float  # seconds from the decoded frame in memory to its keypoints
    delivered: float = dataclasses.field(default_factory=time.monotonic)  # when the result was there

    @property
    def age(self) -> float | None:
        """Seconds from the capture of the frame to its result; None for files."""
        return None if self.frame.captured is None else self.delivered - self.frame.captured

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, less the latency: the same in every run on the same file.

        A live source adds `captured` (Unix time in seconds), `age` in seconds and `dropped`.
        """
        frame = self.frame
        data: dict[str, Any] = {"index": frame.index, "name": frame.name, "time": frame.time}
        if frame.captured is not None:
            ago = time.monotonic() - frame.captured
            data |= {"captured": time.time() - ago, "age": self.age, "dropped": frame.dropped}
        return data | {"objects": [keypoints.to_dict() for keypoints in self.objects]}


class Source(Protocol):
    """Frames in order; read once."""

    live: bool  # whether frames come by themselves: only the newest is given, others are dropped
    frames_per_second: float | None  # None where the frames have no clock, or none that is known
    length: int | None  # how many frames there will be, None if that is not known

    def __iter__(self) -> Iterator[Frame]:
        """The frames. Raises DataError or StreamError if one cannot be read."""
        ...

    def stop(self) -> None:
        """End the frames soon, from any thread or a signal's handler, even while a frame is waited for."""
        ...


class Sink(Protocol):
    """Takes results one by one; leaving its `with` block finishes what it writes, whatever ended the run."""

    @property
    def written(self) -> list[str]:
        """Files or folders that hold results by now, "-" for stdout."""
        ...

    def __call__(self, result: Result) -> None:
        """Take one result. Raises StreamError if it cannot be written."""
        ...

    def __enter__(self) -> Sink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

"""One row while it is measured: a detector, its frames, and every sample of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from coke_edge.benchmarks.bench.frames import Frames, regions
from coke_edge.benchmarks.bench.jitter import jitter
from coke_edge.benchmarks.bench.result import Latency
from coke_edge.benchmarks.bench.settings import Setting
from coke_edge.detector import Detector
from coke_edge.draw import draw
from coke_edge.errors import CokeError
from coke_edge.keypoints import Keypoints

WAIT, CAPTURE, OTHER = "wait", "capture", "other"


@dataclasses.dataclass(frozen=True)
class Sample:
    """One call: the whole of it and its parts, in milliseconds."""

    whole: float
    parts: dict[str, float]
    objects: list[Keypoints]


@dataclasses.dataclass
class Tally:
    """What came of a row so far, in milliseconds; lists have a place for each sample, in their order."""

    whole: list[float] = dataclasses.field(default_factory=list)
    parts: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    slices: list[int] = dataclasses.field(default_factory=list)
    draw: list[float] = dataclasses.field(default_factory=list)
    throttling: list[str] = dataclasses.field(default_factory=list)  # what held the clocks down, in words
    seconds: float = 0.0  # by the clock, of all slices
    late: int = 0  # frames that came while the one before was not done
    dropped: int = 0  # of these, those that a newer one replaced

    def add(self, samples: Sequence[Sample]) -> None:
        """A stretch of successive calls. Raises CokeError if not all of them have the same parts."""
        for sample in samples:
            if self.whole and sample.parts.keys() != self.parts.keys():
                raise CokeError("the backend times other stages from call to call: nothing to average")
            self.whole.append(sample.whole)
            for name, value in sample.parts.items():
                self.parts.setdefault(name, []).append(value)
        self.slices.append(len(samples))

    def stages(self) -> dict[str, float]:
        """Mean of each part, and of what they leave."""
        means = {name: float(np.mean(values)) for name, values in self.parts.items()}
        return means | {OTHER: float(np.mean(self.whole)) - sum(means.values())}

    def latency(self) -> Latency:
        """Of all samples."""
        p50, p90, p95, p99 = np.percentile(self.whole, [50, 90, 95, 99]).tolist()
        return Latency(
            p50=p50,
            p90=p90,
            p95=p95,
            p99=p99,
            max=max(self.whole),
            mean=float(np.mean(self.whole)),
            jitter=jitter(self.whole, self.slices),
        )


class Lane:
    """A setting with its detector. `call` is the one place where a clock is read."""

    def __init__(self, setting: Setting, detector: Detector, frames: Frames) -> None:
        self.setting, self.detector = setting, detector
        self.tally = Tally()
        self._frames, self.calls = frames, 0

    def call(self, due: float | None = None) -> Sample:
        """The next frame, to its keypoints.

        The clock starts when the frame is asked for, or where a camera would have had it ready at `due`
        (`time.perf_counter`), then.
        """
        start = time.perf_counter()
        frame = self._frames.read(self.calls)
        captured = time.perf_counter()
        boxes = regions(frame.shape[0], frame.shape[1], self.setting.batch)
        objects, parts = self.detector.stages(frame, boxes)
        end = time.perf_counter()
        self.calls += 1
        timed = {} if due is None else {WAIT: 1e3 * (start - due)}
        timed |= {CAPTURE: 1e3 * (captured - start), **parts}
        return Sample(1e3 * (end - (start if due is None else due)), timed, objects)

    def draw(self, sample: Sample) -> None:
        """Draw what a call found, beside the clock of the calls, so that it disturbs none."""
        image = self._frames.read(self.calls - 1)
        start = time.perf_counter()
        for keypoints in sample.objects:
            image = draw(image, keypoints)
        self.tally.draw.append(1e3 * (time.perf_counter() - start))

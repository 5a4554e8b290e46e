"""What a detector says about the objects of a data set, one at a time, and what is annotated there."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from coke_edge.detector import Detector
from coke_edge.train.data.images import ImageCache
from coke_edge.train.data.sample import COVERED, Sample

CACHE_BYTES = 32 * 2**20  # several objects of one image follow each other: decode it once

Float = NDArray[np.float64]
View = Callable[
    [NDArray[np.uint8], Sample], tuple[NDArray[np.uint8], Sample]
]  # (photo, sample) as they are shown


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """What a detector said about n objects with K keypoints."""

    samples: Sequence[Sample]  # n
    names: tuple[str, ...]  # K
    xy: Float  # [n, K, 2] frame px, NaN where there is no peak
    visible: Float  # [n, K] probability, NaN where unknown
    latency_ms: Float  # [n] from the decoded image to the keypoints
    places: Float  # [n, K, 2] as xy, but of those that are most likely hidden where they are then

    def chosen(self, indices: NDArray[np.intp], names: Sequence[str]) -> Predictions:
        """Only these of the keypoints, under these names."""
        return dataclasses.replace(
            self,
            names=tuple(names),
            xy=self.xy[:, indices],
            places=self.places[:, indices],
            visible=self.visible[:, indices],
        )

    def objects(self, indices: Sequence[int]) -> Predictions:
        """Only these of the objects."""
        rows = list(indices)
        columns = {name: getattr(self, name)[rows] for name in ("xy", "visible", "latency_ms", "places")}
        return dataclasses.replace(self, samples=[self.samples[row] for row in rows], **columns)


def predict(
    detector: Detector, samples: Sequence[Sample], *, progress: bool = True, view: View | None = None
) -> Predictions:
    """Run a detector on every sample's box, one at a time, with the time that each took.

    The samples of the result are those that `view` made.
    """
    cache = ImageCache(CACHE_BYTES)
    count = len(detector.spec.keypoints.names)
    xy, places = np.full((2, len(samples), count, 2), np.nan)
    visible = np.full((len(samples), count), np.nan)
    latency = np.zeros(len(samples))
    shown = []
    if samples:  # the first call allocates and compiles: it is not timed
        detector(cache.read(samples[0].image), samples[0].box)
    for i, sample in enumerate(track(samples, progress)):
        frame = cache.read(sample.image)
        if view is not None:
            frame, sample = view(frame, sample)
        shown.append(sample)
        start = time.perf_counter()
        found = detector(frame, sample.box)
        latency[i] = 1e3 * (time.perf_counter() - start)
        xy[i], places[i], visible[i] = found.xy, found.places, found.visible
    return Predictions(shown, detector.spec.keypoints.names, xy, visible, latency, places)


def track(samples: Sequence[Sample], progress: bool) -> Iterable[Sample]:
    """The samples, with a progress bar on stderr while they are gone through."""
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    return rich_track(
        samples,
        description="Evaluating",
        console=console,
        disable=not (progress and console.is_terminal),  # elsewhere it would leave an empty line
        transient=True,
    )


def truth_of(samples: Sequence[Sample]) -> Float:
    """The annotated positions [n, K, 2]."""
    return np.stack([sample.keypoints for sample in samples]).astype(np.float64)


def flags_of(samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """The visibility flags [n, K]."""
    return np.stack([sample.visibility for sample in samples])


def covered_flags(samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """The flags [n, K] that keypoints under a pasted occluder had before; UNLABELLED for all others."""
    return np.stack([sample.meta.get(COVERED, np.zeros_like(sample.visibility)) for sample in samples])

"""Detection on a source in a Python loop."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from coke_edge.bundle import Bundle
from coke_edge.detector import Detector
from coke_edge.stream.frame import Frame, Result
from coke_edge.stream.region import FRAME, RegionLike
from coke_edge.stream.run import detect
from coke_edge.stream.smoothing import OneEuro
from coke_edge.stream.sources import open_source

Pictures: TypeAlias = "Iterable[Frame | NDArray[np.uint8]]"


def watch(
    detector: Detector | Bundle | str | os.PathLike[str],
    source: str | os.PathLike[str] | Pictures,
    region: RegionLike = FRAME,
    smoothing: OneEuro | None = None,
    max_age: float | None = None,
) -> Iterator[Result]:
    """The results of a source, frame by frame; leaving the loop closes the source.

    >>> for result in watch("person.coke", "rtsp://camera/1", region="track"):
    ...     print(result.age, [keypoints.to_coco() for keypoints in result.objects])

    `detector` is a Detector or what Detector takes; `source` a URI or frames of your own, as `Frame` or as arrays
    uint8 [H, W, 3] BGR, which have no time and so are not smoothed. The others are those of `coke_edge.stream.run`.

    Raises StreamError if the source cannot be read, BundleError or BackendError if the detector cannot be used.
    """
    if not isinstance(detector, Detector):
        detector = Detector(detector)
    frames = iter(
        open_source(os.fspath(source)) if isinstance(source, str | os.PathLike) else numbered(source)
    )
    results = detect(detector, frames, region, smoothing, max_age)
    try:
        yield from results
    finally:
        for iterator in (results, frames):
            if hasattr(iterator, "close"):
                iterator.close()


def numbered(pictures: Pictures) -> Iterator[Frame]:
    """Frames as they are, and arrays as frames named by their number."""
    for index, picture in enumerate(pictures):
        yield picture if isinstance(picture, Frame) else Frame(index, picture, f"{index:06d}")

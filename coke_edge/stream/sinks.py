"""From a URI to a sink for results. Each kind of sink is one module beside this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import StreamError
from coke_edge.stream.frame import Frame, Result, Sink
from coke_edge.stream.images import SUFFIXES

KINDS = (
    "an image (out.png), a folder of images (out/), a video (out.mp4), JSON lines (out.jsonl) or - (stdout)"
)
Painter = Callable[[Result], NDArray[np.uint8]]  # the annotated picture [H, W, 3] BGR of a result

STDOUT = "-"


def open_sink(uri: str, paint: Painter, frames_per_second: float | None = None) -> Sink:
    """The sink that `uri` names; `paint` makes its pictures. Nothing is written before the first result.

    Raises StreamError if there is no such kind of sink.
    """
    path = Path(uri)
    suffix = path.suffix.lower()
    if uri == STDOUT or suffix == ".jsonl":
        from coke_edge.stream.jsonl_sink import JsonlSink

        return JsonlSink(None if uri == STDOUT else path)
    if "://" in uri:
        raise StreamError(f"there is no sink {uri}; give {KINDS}")
    if suffix == ".mp4":
        from coke_edge.stream.video_sink import VideoSink

        return VideoSink(path, paint, frames_per_second)
    if uri.endswith("/") or path.is_dir() or not suffix:
        from coke_edge.stream.image_sink import FolderSink

        return FolderSink(path, paint)
    if suffix in SUFFIXES:
        from coke_edge.stream.image_sink import ImageSink

        return ImageSink(path, paint)
    raise StreamError(f"there is no sink for names that end in {suffix}; give {KINDS}")


def keep_source(target: Path, frame: Frame) -> None:
    """Raises StreamError if writing `target` would overwrite the file that the frame came from."""
    if frame.path is not None and target.resolve() == frame.path.resolve():
        raise StreamError(f"{target} is the source itself and would be overwritten; give --sink another name")

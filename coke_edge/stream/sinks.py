"""From a URI to a sink for results. Each kind of sink is one module beside this one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import StreamError
from coke_edge.stream.frame import Frame, Result, Sink
from coke_edge.stream.images import SUFFIXES

KINDS = (
    "an image (out.png), a folder of images (out/), a video (out.mp4), JSON lines (out.jsonl), COCO results "
    "(out.json), a table (out.csv), udp://HOST:PORT, http://127.0.0.1:8080 (a page for browsers), window: or - (stdout)"
)
Painter = Callable[[Result], NDArray[np.uint8]]  # the annotated picture [H, W, 3] BGR of a result
AnySink = str | Callable[[Result], object]  # a URI, or a function that is called with each result

log = logging.getLogger(__name__)

STDOUT = "-"
WINDOW = "window:"


class Closed(Exception):  # noqa: N818 (no error)
    """Whoever looked at the results has left (a window was closed, a pipe's reader ended): the run ends well."""


def open_sink(
    sink: AnySink, paint: Painter, frames_per_second: float | None = None, live: bool = False
) -> Sink:
    """The sink that a URI names, or for a function; `paint` makes its pictures. Files wait for the first result.

    In a `live` run lines and tables are added to what the file holds, videos and COCO results take the next free
    name, and a video keeps the time of its source.

    Raises StreamError if there is no such kind of sink or it cannot be opened here.
    """
    if not isinstance(sink, str):
        from coke_edge.stream.callback_sink import CallbackSink

        return CallbackSink(sink)
    if sink == WINDOW:
        from coke_edge.stream.window_sink import WindowSink

        return WindowSink(paint, live)
    if sink == STDOUT or not has_scheme(sink):
        return open_file(sink, paint, frames_per_second, live)
    if sink.startswith("udp:"):
        from coke_edge.stream.udp_sink import UdpSink

        return UdpSink(sink)
    if sink.startswith(("http:", "https:")):
        from coke_edge.stream.web.sink import WebSink

        return WebSink(sink, paint, announce=announce)
    raise StreamError(f"there is no sink {sink}; give {KINDS}")


def announce(link: str) -> None:
    """Tell where to look, and with which token: in the log if there is one, else on standard error."""
    if not (log.isEnabledFor(logging.INFO) and log.hasHandlers()):
        print(f"Watch at {link}", file=sys.stderr, flush=True)
        return
    log.info("Watch at %s", link, extra={"event": "page", "fields": {"link": link}})


def has_scheme(uri: str) -> bool:
    """Whether this is no path."""
    return "://" in uri or uri.startswith(("udp:", "http:", "https:", "window"))


def open_file(uri: str, paint: Painter, frames_per_second: float | None, live: bool) -> Sink:
    """A sink that writes a file, by its suffix, a folder of them, or standard output."""
    path = Path(uri)
    suffix = path.suffix.lower()
    if uri == STDOUT or suffix == ".jsonl":
        from coke_edge.stream.jsonl_sink import JsonlSink

        return JsonlSink(None if uri == STDOUT else path, append=live)
    if suffix == ".csv":
        from coke_edge.stream.csv_sink import CsvSink

        return CsvSink(path, append=live)
    if suffix == ".json":
        from coke_edge.stream.coco_sink import CocoSink

        return CocoSink(free_name(path) if live else path)
    if suffix == ".mp4":
        from coke_edge.stream.video_sink import VideoSink

        return VideoSink(free_name(path) if live else path, paint, frames_per_second, live)
    if uri.endswith("/") or path.is_dir() or not suffix:
        from coke_edge.stream.image_sink import FolderSink

        return FolderSink(path, paint)
    if suffix in SUFFIXES:
        from coke_edge.stream.image_sink import ImageSink

        return ImageSink(path, paint, newest=live)
    raise StreamError(f"there is no sink for names that end in {suffix}; give {KINDS}")


def free_name(path: Path) -> Path:
    """The path, or the first of out-2.mp4, out-3.mp4 … that is not taken: no restart loses an earlier recording."""
    number = 2
    free = path
    while free.exists():
        free = path.with_stem(f"{path.stem}-{number}")
        number += 1
    return free


def keep_source(target: Path, frame: Frame) -> None:
    """Raises StreamError if writing `target` would overwrite the file that the frame came from."""
    if frame.path is not None and target.resolve() == frame.path.resolve():
        raise StreamError(f"{target} is the source itself and would be overwritten; give --sink another name")

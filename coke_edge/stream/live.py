"""From a URI to a live source. Each kind of camera is one module beside this one."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from urllib.parse import SplitResult, urlsplit

from coke_edge.errors import StreamError
from coke_edge.stream.frame import Source
from coke_edge.stream.live_source import LiveSource
from coke_edge.stream.parameters import parse, split

WEBCAM = re.compile(r"(\d+|/dev/v[^?]*)(?:\?.*)?")


def open_live(uri: str, reconnect: bool, timeout: float) -> Source | None:
    """The live source that `uri` names; None if it names none. The camera is opened when frames are asked for.

    Raises StreamError if the URI is not complete or asks for what its kind does not have.
    """
    if WEBCAM.fullmatch(uri):
        return webcam(uri, reconnect)
    if split(uri)[0] == "-":
        return stdin(uri)
    scheme = uri.partition(":")[0].lower() if ":" in uri else ""
    kinds: dict[str, Callable[[str, bool, float], Source]] = {
        "test": pattern,
        "csi": csi,
        "gst": gst,
        "rtsp": network,
        "rtsps": network,
        "http": mjpeg,
        "https": mjpeg,
    }
    return kinds[scheme](uri, reconnect, timeout) if scheme in kinds else None


def webcam(uri: str, reconnect: bool) -> Source:
    """`0`, `/dev/video2`, `/dev/v4l/by-id/…`, each with ?size=1280x720&fps=60&format=mjpg if so wished."""
    from coke_edge.stream.opencv_camera import fourcc, open_webcam

    device, query = split(uri)
    asked = parse(uri, query, ("size", "fps", "format"))
    if asked.format is not None:
        fourcc(asked.format)
    path = f"/dev/video{device}" if device.isdigit() else device
    return LiveSource(
        safe(path.removeprefix("/dev/")), partial(open_webcam, path, asked), asked.fps, reconnect
    )


def stdin(uri: str) -> Source:
    """`-?size=640x480&format=bgr24&fps=30`: all frames; the newest alone with live=yes."""
    from coke_edge.stream.raw_stdin import FORMATS, RawReader, StdinSource

    asked = parse(uri, split(uri)[1], ("size", "format", "fps", "live"))
    pixels = asked.format or "bgr24"
    if asked.size is None:
        raise StreamError("raw frames on standard input need their size, as in -?size=640x480&format=bgr24")
    if pixels not in FORMATS:
        raise StreamError(f"{uri}: no format {pixels!r}; there is {', '.join(FORMATS)}")
    reader = RawReader(sys.stdin.fileno(), asked.size, pixels)
    if not asked.live:
        return StdinSource(reader, asked.fps)
    return LiveSource("stdin", lambda: reader, asked.fps, reconnect=False)


def pattern(uri: str, reconnect: bool, timeout: float) -> Source:
    """`test:` with ?size=640x480&fps=30 if so wished."""
    from coke_edge.stream.pattern import FPS, SIZE, PatternCamera

    head, query = split(uri)
    if head.rstrip("/") != "test:":
        raise StreamError(f"{uri}: the test pattern is test: or test:?size=640x480&fps=30")
    asked = parse(uri, query, ("size", "fps"))
    fps = asked.fps or FPS
    return LiveSource("test", partial(PatternCamera, asked.size or SIZE, fps), fps, reconnect)


def csi(uri: str, reconnect: bool, timeout: float) -> Source:
    """`csi://0`, with ?size=1280x720&fps=30 if so wished: a camera on a Jetson's own connector."""
    from coke_edge.stream.pipeline import csi_pipeline, open_pipeline

    head, query = split(uri)
    sensor = head.removeprefix("csi:").strip("/")
    if not sensor.isdigit():
        raise StreamError(f"{uri}: give the number of the camera, as in csi://0")
    asked = parse(uri, query, ("size", "fps"))
    connect = partial(open_pipeline, csi_pipeline(int(sensor), asked), timeout)
    return LiveSource(f"csi{sensor}", connect, asked.fps, reconnect)


def gst(uri: str, reconnect: bool, timeout: float) -> Source:
    """`gst:` and a pipeline as gst-launch-1.0 takes it, which ends with raw pictures."""
    from coke_edge.stream.pipeline import open_pipeline

    pipeline = uri.partition(":")[2].strip().rstrip("! ")
    if not pipeline:
        raise StreamError(f"{uri}: give a pipeline, as in 'gst:v4l2src device=/dev/video0 ! jpegdec'")
    return LiveSource("gst", partial(open_pipeline, pipeline, timeout), None, reconnect)


def network(uri: str, reconnect: bool, timeout: float) -> Source:
    """`rtsp://` and `rtsps://`, as FFmpeg reads them."""
    from coke_edge.stream.opencv_camera import open_network

    where = safe_url(address(uri))
    return LiveSource(safe(where), partial(open_network, uri, where, timeout), None, reconnect)


def mjpeg(uri: str, reconnect: bool, timeout: float) -> Source:
    """`http://` and `https://`: motion JPEG."""
    from coke_edge.stream.mjpeg_camera import MjpegCamera

    url = address(uri)
    where = safe_url(url)
    return LiveSource(safe(where), partial(MjpegCamera, url, where, timeout), None, reconnect)


def address(uri: str) -> SplitResult:
    """The parts of a network address. Raises StreamError if it names no host."""
    try:
        url = urlsplit(uri)
        complete = bool(url.hostname) and url.port != 0
    except ValueError:
        complete = False
    if not complete:
        raise StreamError(f"{uri.partition(':')[0]}: this address names no host and port that can be reached")
    return url


def safe_url(url: SplitResult) -> str:
    """An address for people: without name, password and query, which may hold a secret."""
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{url.scheme}://{host}{f':{url.port}' if url.port else ''}{url.path}"


def safe(text: str) -> str:
    """A text as the name of a file: host_8554_front for rtsp://host:8554/front."""
    return re.sub(r"\W+", "_", text.partition("://")[2] or text).strip("_") or "camera"

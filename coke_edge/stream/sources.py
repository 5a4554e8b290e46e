"""From a URI to a source of frames. Each kind of source is one module beside this one."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from coke_edge.errors import StreamError
from coke_edge.stream.frame import Source
from coke_edge.stream.images import SUFFIXES, is_image
from coke_edge.stream.live import open_live

KINDS = (
    "an image file, a folder of images, a glob such as 'photos/*.jpg', a video file, a camera (0, /dev/video2, "
    "csi://0), rtsp://…, http://… (motion JPEG), gst:PIPELINE, -?size=640x480 (raw frames on stdin), or test:"
)
TIMEOUT = 10.0  # seconds of silence after which a camera counts as lost
VIDEO_SUFFIXES = frozenset(
    ".3gp .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split()  # noqa: SIM905 (one line)
)
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


def open_source(uri: str, *, reconnect: bool = True, timeout: float = TIMEOUT) -> Source:
    """The source that `uri` names: image files, a video file, or a camera.

    A camera is opened when its frames are asked for. After `timeout` seconds of silence it counts as lost, and is
    connected again if `reconnect` is on.

    Raises StreamError if there is nothing of that name or nothing in it that can be read.
    """
    path = Path(uri)
    try:
        if path.is_dir():
            return pictures([p for p in path.iterdir() if is_image(p)], path, uri)
        if path.is_file() and is_image(path):
            return pictures([path], path.parent, uri)
        if path.is_file():
            return video(path)
    except OSError as error:
        raise StreamError(f"cannot read the source {uri}: {error.strerror}") from None
    if camera := open_live(uri, reconnect, timeout):
        return camera
    if glob.has_magic(uri):
        found = [Path(name) for name in glob.glob(uri, recursive=True)]
        return pictures([p for p in found if is_image(p)], fixed_part(path), uri)
    if scheme := SCHEME.match(uri):
        raise StreamError(f"no source has the scheme {scheme[1]!r}; there is {KINDS}")
    raise StreamError(f"there is no source {uri}; give {KINDS}")


def fixed_part(pattern: Path) -> Path:
    """The folder of a glob above its first wildcard."""
    parts = pattern.parts
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def pictures(paths: list[Path], root: Path, uri: str) -> Source:
    """A source of image files, in the order of their names."""
    from coke_edge.stream.image_source import ImageSource

    if not paths:
        raise StreamError(f"no image in {uri}; its name must end in one of {', '.join(sorted(SUFFIXES))}")
    return ImageSource(sorted(paths), root)


def video(path: Path) -> Source:
    """A source of the frames of a video file."""
    from coke_edge.stream.video_source import VideoSource

    # By name, because FFmpeg takes any text file for a film in ANSI art.
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise StreamError(f"{path} is neither an image nor a video by its name; give {KINDS}")
    return VideoSource(path)

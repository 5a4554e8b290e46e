"""A GStreamer pipeline in a process of its own, so that it needs no OpenCV with GStreamer in it."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import threading
from collections import deque
from functools import partial
from typing import BinaryIO, cast

import numpy as np

from coke_edge.errors import StreamError
from coke_edge.stream.camera import Image, Shot
from coke_edge.stream.multipart import MultipartReader

PROGRAM = "gst-launch-1.0"
GRACE = 2.0  # seconds to shut down in order: a Jetson's camera daemon keeps a camera whose user was killed
CAPS_WAIT = 1.0  # seconds after a frame of a new size until GStreamer must have said what its size is

# Frames go through the multipart muxer because raw bytes alone do not say where a frame ends. The leaky queue
# drops frames here that the reader has no time for, before they cost a copy.
TAIL = (
    "! videoconvert name=coke_edge_bgr ! video/x-raw,format=BGR ! queue name=coke_edge_newest leaky=downstream "
    "max-size-buffers=1 max-size-bytes=0 max-size-time=0 ! multipartmux name=coke_edge_parts boundary=frame ! "
    "fdsink sync=false fd={fd}"
)
# With -v, each pad says its size. GStreamer may lose what one pad says while another thread speaks (seen in 1.22),
# so all of ours are listened to.
CAPS = re.compile(
    r"/Gst\w+:coke_edge_\w+\.GstPad:\w+: caps = video/x-raw.*width=\(int\)(\d+), height=\(int\)(\d+)"
)
ERROR = re.compile(r"(?:ERROR: from element \S+: |WARNING: erroneous pipeline: |ERROR: )(.+)")


class GstCamera:
    """Frames of `gst-launch-1.0 PIPELINE`, as BGR through a socket; a change of size is followed.

    The pipeline ends with raw pictures of any format, in `videotestsrc is-live=true` for example; conversion
    and the way out are added. Rows come as GStreamer lays them out: padded to a multiple of four bytes.
    """

    def __init__(self, pipeline: str, timeout: float) -> None:
        """Raises StreamError if there is no gst-launch-1.0 or the pipeline is no text that it takes."""
        if shutil.which(PROGRAM) is None:
            raise StreamError(f"there is no {PROGRAM} here; `apt install gstreamer1.0-tools` brings it")
        try:
            words = shlex.split(pipeline)
        except ValueError as error:
            raise StreamError(f"the pipeline {pipeline!r} cannot be read: {error}") from None
        self._timeout = timeout
        self._interrupted = False
        self._size = (0, 0)  # width, height
        self._sizes: deque[tuple[int, int]] = deque(maxlen=64)  # as announced, not yet seen in a frame
        self._errors: deque[str] = deque(maxlen=8)
        self._announced = threading.Condition()
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(timeout)
        with theirs:
            command = [PROGRAM, "-v", *words, *TAIL.format(fd=theirs.fileno()).split()]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C is for us, who end it in order
            )
        self._listener = threading.Thread(target=self._listen, name="gst-launch", daemon=True)
        self._listener.start()
        self._file = cast(BinaryIO, self._socket.makefile("rb", buffering=2**16))
        self._reader = MultipartReader(self._file, "frame")

    def read(self) -> Shot | None:
        """Wait for the next frame. Raises StreamError if the pipeline fails or falls silent."""
        try:
            part = self._reader.read()
        except TimeoutError:
            raise StreamError(self._sentence(f"sent nothing for {self._timeout:g} s")) from None
        except (OSError, StreamError, ValueError):
            part = None
        if part is None and not self._interrupted:
            self._listener.join(GRACE)  # what it says last is why it ended
            if self._errors:
                raise StreamError(self._sentence("ended"))
        if part is None:
            return None
        return partial(to_image, part, self._size_of(len(part)))

    def _size_of(self, length: int) -> tuple[int, int]:
        """Width and height of a frame of `length` bytes.

        Announcements come on another path than the frames, a little earlier or later. Raises StreamError if none
        fits.
        """
        with self._announced:
            if not self._announced.wait_for(lambda: self._next_size(length), CAPS_WAIT):
                raise StreamError(f"the GStreamer pipeline sent a frame of {length} bytes without its size")
        return self._size

    def _next_size(self, length: int) -> bool:
        while self._sizes and (n_bytes(self._size) != length or n_bytes(self._sizes[0]) == length):
            self._size = self._sizes.popleft()
        return n_bytes(self._size) == length

    def _listen(self) -> None:
        """The thread that reads what gst-launch-1.0 says, so that it never waits for us to do so."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if match := CAPS.search(line):
                with self._announced:
                    self._sizes.append((int(match[1]), int(match[2])))
                    self._announced.notify_all()
            elif match := ERROR.match(line):
                self._errors.append(match[1].strip())

    def _sentence(self, what: str) -> str:
        reason = f": {self._errors[0].rstrip('.')}" if self._errors else ""
        return f"the GStreamer pipeline {what}{reason}"

    def interrupt(self) -> None:
        """Shut the socket, which ends a waiting read, and the pipeline at its next frame."""
        self._interrupted = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the process: asked first, then killed."""
        self.interrupt()
        self._file.close()
        self._socket.close()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(GRACE)
        if self._process.stdout is not None and not self._listener.is_alive():
            self._process.stdout.close()


def stride(width: int) -> int:
    """Bytes of a row of BGR pixels in GStreamer."""
    return (3 * width + 3) // 4 * 4


def n_bytes(size: tuple[int, int]) -> int:
    """Bytes of a frame."""
    return stride(size[0]) * size[1]


def to_image(data: bytes, size: tuple[int, int]) -> Image:
    """The bytes of a frame as an image."""
    width, height = size
    rows = np.frombuffer(data, np.uint8).reshape(height, stride(width))
    return np.array(rows[:, : 3 * width]).reshape(height, width, 3)

"""Parts of a multipart/x-mixed-replace stream: how MJPEG cameras and GStreamer's multipartmux frame pictures."""

from __future__ import annotations

from typing import BinaryIO

from coke_edge.errors import StreamError

LONGEST_LINE = 8192  # bytes of one header line
MOST_LINES = 64  # of one part's header
LARGEST_PART = 256 * 2**20  # bytes


class MultipartReader:
    """Reads the body of one part after the other.

    A part ends after its Content-Length or, where a camera sends none, before the line of the next boundary.
    Raises StreamError if this is no such stream or it breaks off within a part; OSError is the stream's own.
    """

    def __init__(self, stream: BinaryIO, boundary: str) -> None:
        self._stream = stream
        # Some cameras give the boundary with its two dashes, some without.
        self._boundary = b"--" + boundary.strip('"').removeprefix("--").encode("latin-1")
        self._at_boundary = False

    def read(self) -> bytes | None:
        """The next part; None at the end of the stream."""
        length = self._header()
        if length is None:
            return None
        return self._until_boundary() if length < 0 else self._exactly(length)

    def _header(self) -> int | None:
        """The length of the part that follows, −1 if it is not said; None at the end of the stream."""
        length = -1
        begun, self._at_boundary = self._at_boundary, False
        for _ in range(MOST_LINES):
            line = self._stream.readline(LONGEST_LINE)
            if not line:
                return None
            text = line.strip()
            if text.startswith(self._boundary):
                if text == self._boundary + b"--":
                    return None
                begun = True
            elif begun and not text:
                return length
            elif begun and text.lower().startswith(b"content-length:"):
                length = self._length(text)
        raise StreamError("the stream has lost its boundaries")

    def _length(self, header: bytes) -> int:
        digits = header.partition(b":")[2].strip()
        if not digits.isdigit() or int(digits) > LARGEST_PART:
            raise StreamError(f"a frame announces a size of {digits[:20].decode('latin-1')!r} bytes")
        return int(digits)

    def _exactly(self, length: int) -> bytes:
        data = self._stream.read(length)
        if len(data) < length:
            raise StreamError("the stream broke off within a frame")
        return data

    def _until_boundary(self) -> bytes:
        part = bytearray()
        while line := self._stream.readline(2**20):
            if line.startswith(self._boundary):
                self._at_boundary = True
                return without_line_end(part)
            part += line
            if line.endswith(
                (b"\xff\xd9\r\n", b"\xff\xd9\n")
            ):  # a JPEG's end: no need to wait for the next frame
                return without_line_end(part)
            if len(part) > LARGEST_PART:
                raise StreamError("the stream has lost its boundaries")
        raise StreamError("the stream broke off within a frame")


def without_line_end(data: bytearray) -> bytes:
    """The line end after a part belongs to the boundary."""
    return bytes(data).removesuffix(b"\n").removesuffix(b"\r")

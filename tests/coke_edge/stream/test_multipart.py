from __future__ import annotations

import io

import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.multipart import MultipartReader

JPEG = b"\xff\xd8 a\r\n\r\n--other b \xff\xd9"


def parts(data: bytes, boundary: str = "cut") -> list[bytes]:
    reader = MultipartReader(io.BytesIO(data), boundary)
    return list(iter(reader.read, None))


def part(data: bytes, length: bool = True, end: bytes = b"\r\n") -> bytes:
    header = b"content-length:  %d" % len(data) + end if length else b""
    return b"--cut" + end + b"Content-Type: image/jpeg" + end + header + end + data + end


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("boundary", ["cut", "--cut", '"cut"'])
def test_parts(length: bool, end: bytes, boundary: str) -> None:
    data = (
        b"preamble"
        + end
        + b"".join(part(JPEG + bytes([i]) * i, length, end) for i in range(3))
        + b"--cut--"
        + end
    )
    assert parts(data, boundary) == [JPEG, JPEG + b"\x01", JPEG + b"\x02\x02"]


def test_a_jpeg_without_a_length_does_not_wait_for_the_next_one() -> None:
    stream = io.BytesIO(part(JPEG, length=False) + part(JPEG))
    assert MultipartReader(stream, "cut").read() == JPEG
    assert stream.tell() == len(part(JPEG, length=False))


def test_the_end() -> None:
    assert parts(b"") == []
    assert parts(part(JPEG)) == [JPEG]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (part(JPEG)[:-9], "broke off within"),
        (part(b"x" * 50, length=False)[:-9], "broke off within"),
        (b"words\r\n" * 1000, "lost its boundaries"),
        (b"--cut\r\nContent-Length: -1\r\n\r\n", "announces"),
        (b"--cut\r\nContent-Length: 99999999999\r\n\r\n", "announces"),
        (b"--cut\r\n" + b"x" * 10_000_000, "lost its boundaries"),
    ],
)
def test_what_is_broken(data: bytes, sentence: str) -> None:
    with pytest.raises(StreamError, match=sentence):
        parts(data)

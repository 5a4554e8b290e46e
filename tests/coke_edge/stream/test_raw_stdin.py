from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from coke_edge.stream.raw_stdin import RawReader, StdinSource

READ = """
import sys
from coke_edge.errors import StreamError
from coke_edge.stream.sources import open_source
try:
    for frame in open_source(sys.argv[1]):
        print(frame.index, frame.name, frame.time, *frame.image.shape, *frame.image[-1, -1])
except StreamError as error:
    sys.exit(f"sentence: {error}")
"""


def read(uri: str, data: bytes) -> tuple[list[str], str]:
    """What a process that gets `data` on its standard input says, and its last line of errors."""
    done = subprocess.run([sys.executable, "-c", READ, uri], input=data, capture_output=True, check=False)
    return done.stdout.decode().splitlines(), (done.stderr.decode().splitlines() or [""])[-1]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_all_frames() -> None:
    frames = np.arange(4, dtype=np.uint8)[:, None, None, None] + np.zeros((4, 480, 640, 3), np.uint8)
    lines, said = read("-?size=640x480&fps=25", frames.tobytes())
    assert said == ""
    assert lines == [f"{i} stdin/{i:06d} {i / 25} 480 640 3 {i} {i} {i}" for i in range(4)]


@pytest.mark.parametrize(
    ("pixels", "pixel", "bgr"),
    [
        ("bgr24", b"\x01\x02\x03", [1, 2, 3]),
        ("rgb24", b"\x01\x02\x03", [3, 2, 1]),
        ("bgra", b"\x01\x02\x03\x04", [1, 2, 3]),
        ("rgba", b"\x01\x02\x03\x04", [3, 2, 1]),
        ("gray", b"\x07", [7, 7, 7]),
        ("gray16le", b"\x00\x80", [128, 128, 128]),
    ],
)
def test_formats(pipe: tuple[int, int], pixels: str, pixel: bytes, bgr: list[int]) -> None:
    os.write(pipe[1], pixel * 5 * 3)
    shot = RawReader(pipe[0], (5, 3), pixels).read()
    assert shot is not None
    image = shot()
    assert image is not None
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.broadcast_to(bgr, (3, 5, 3)))


def test_a_frame_that_comes_in_pieces(pipe: tuple[int, int]) -> None:
    data = bytes(range(2 * 3 * 3))

    def drip() -> None:
        for byte in data:
            os.write(pipe[1], bytes([byte]))
            time.sleep(0.001)

    writer = threading.Thread(target=drip)
    writer.start()
    shot = RawReader(pipe[0], (2, 3), "bgr24").read()
    writer.join()
    assert shot is not None
    image = shot()
    assert image is not None
    assert image.tobytes() == data


def test_cut_short() -> None:
    lines, said = read("-?size=4x4", bytes(4 * 4 * 3 + 5))
    assert len(lines) == 1
    assert said == (
        "sentence: standard input ended within a frame, after 5 of its 48 bytes; are they 4x4 pixels of bgr24?"
    )


def test_live_gives_the_newest_and_ends() -> None:
    lines, said = read("-?size=4x4&format=gray&live=yes", b"".join(bytes([i] * 16) for i in range(9)))
    assert said == ""
    assert lines[-1].startswith("8 stdin/000008")
    assert lines[-1].endswith("8 8 8")


def test_nothing_at_all() -> None:
    assert read("-?size=4x4", b"") == ([], "")


def test_stop_while_nothing_comes(pipe: tuple[int, int]) -> None:
    source = StdinSource(RawReader(pipe[0], (4, 4), "gray"), None)
    threading.Timer(0.1, source.stop).start()
    start = time.monotonic()
    assert list(source) == []
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [("-", "need their size"), ("-?size=4x4&format=yuv", "no format 'yuv'; there is bgr24")],
)
def test_what_is_lacking(uri: str, sentence: str) -> None:
    lines, said = read(uri, b"")
    assert lines == []
    assert sentence in said

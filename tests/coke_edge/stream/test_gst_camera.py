from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.gst_camera import n_bytes, stride
from coke_edge.stream.sources import open_source

LIVE = "gst:videotestsrc is-live=true pattern=solid-color foreground-color=0xff{colour} ! video/x-raw,{caps}"


def processes() -> list[int]:
    """The gst-launch-1.0 processes that this one has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name.startswith("gst-launch") and rest.split()[1] == str(os.getpid()):
            found.append(int(folder.name))
    return found


@pytest.mark.parametrize("size", [(320, 240), (321, 241), (1, 1)])
def test_colours_and_sizes(gstreamer: None, size: tuple[int, int]) -> None:
    uri = LIVE.format(colour="204080", caps=f"format=RGB,width={size[0]},height={size[1]}")
    for frame in open_source(uri, timeout=5):
        assert frame.image.shape == (size[1], size[0], 3)
        np.testing.assert_array_equal(frame.image, np.broadcast_to([0x80, 0x40, 0x20], frame.image.shape))
        if frame.index >= 3:
            break
    assert processes() == []


@pytest.mark.parametrize("layout", ["GRAY8", "GRAY16_LE", "BGRA", "I420"])
def test_gray_alpha_and_16_bits(gstreamer: None, layout: str) -> None:
    caps = f"format={layout},width=64,height=48"
    frame = next(iter(open_source(LIVE.format(colour="808080", caps=caps), timeout=5)))
    assert frame.image.shape == (48, 64, 3)
    np.testing.assert_allclose(frame.image, 128, atol=4)


def test_sixty_frames_a_second_into_a_slow_reader(gstreamer: None) -> None:
    source = open_source(
        "gst:videotestsrc is-live=true ! video/x-raw,framerate=60/1,width=640,height=480", timeout=5
    )
    waits = []  # the age of a result is this and the detection after it
    for frame in source:
        assert frame.captured is not None
        waits.append(time.monotonic() - frame.captured)
        time.sleep(0.1)  # the detector
        if len(waits) == 15:
            break
    assert np.quantile(waits, 0.8) < 1 / 60 + 0.02  # what a busy machine may add
    assert frame.dropped > 2 * len(waits)


def test_the_size_changes(gstreamer: None) -> None:
    one = "videotestsrc num-buffers=30 is-live=true ! video/x-raw,framerate=60/1,width={},height={} ! c. "
    uri = "gst:" + one.format(64, 48) + one.format(50, 31) + one.format(48, 64) + "concat name=c"
    shapes = [frame.image.shape[:2] for frame in open_source(uri, reconnect=False, timeout=5)]
    assert list(dict.fromkeys(shapes)) == [(48, 64), (31, 50), (64, 48)]


def test_the_process_is_killed(
    gstreamer: None, quick_backoff: None, caplog: pytest.LogCaptureFixture
) -> None:
    source = open_source(LIVE.format(colour="000000", caps="width=64,height=48"), timeout=5)
    kills, since = 0, 0
    with caplog.at_level(logging.WARNING):
        for _ in source:
            since += 1
            if since < 3:
                continue
            if kills == 3:
                break
            [process] = processes()
            os.kill(process, signal.SIGKILL)
            kills, since = kills + 1, -3  # some frames may be on their way
    assert source.outages == 3  # type: ignore[attr-defined]
    assert len([record for record in caplog.records if "is back after" in record.getMessage()]) == 3
    assert processes() == []


def test_stop_ends_a_pipeline_that_hangs(gstreamer: None) -> None:
    source = open_source("gst:videotestsrc is-live=true ! identity sleep-time=60000000", timeout=30)
    threading.Timer(0.5, source.stop).start()
    start = time.monotonic()
    assert list(source) == []
    assert time.monotonic() - start < 5
    assert processes() == []


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("gst:nosuchelement", 'no element "nosuchelement"'),
        ("gst:videotestsrc ! audioconvert", "could not link"),
        ("gst:v4l2src device=/dev/video99", "/dev/video99"),
        ("gst:videotestsrc num-buffers=0", "without a frame"),
        ("gst:videotestsrc name='x", "No closing quotation"),
        ("csi://0", "nvarguscamerasrc"),
    ],
)
def test_what_does_not_run(gstreamer: None, uri: str, sentence: str) -> None:
    with pytest.raises(StreamError) as caught:
        list(open_source(uri, timeout=5))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert processes() == []


def test_silence(gstreamer: None) -> None:
    uri = "gst:videotestsrc is-live=true ! identity sleep-time=60000000"
    with pytest.raises(StreamError, match=r"sent nothing for 0\.5 s"):
        list(open_source(uri, timeout=0.5))


def test_no_gst_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StreamError, match=r"apt install gstreamer1\.0-tools"):
        list(open_source("csi://0"))


def test_rows_as_gstreamer_pads_them() -> None:
    assert [stride(width) for width in (1, 2, 4, 5, 321)] == [4, 8, 12, 16, 964]
    assert n_bytes((321, 241)) == 964 * 241

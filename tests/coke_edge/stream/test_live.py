from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.live import safe, safe_url
from coke_edge.stream.sources import open_source


@pytest.mark.parametrize(
    ("uri", "name", "fps"),
    [
        ("0", "video0", None),
        ("2?fps=60&format=mjpg", "video2", 60),
        ("/dev/video2?size=640x480", "video2", None),
        ("/dev/v4l/by-id/usb-cam-index0", "v4l_by_id_usb_cam_index0", None),
        ("csi://1?fps=30", "csi1", 30),
        ("gst:videotestsrc ! identity", "gst", None),
        ("rtsp://me:secret@host:8554/front/main", "host_8554_front_main", None),
        ("RTSPS://host/x?token=secret", "host_x", None),
        ("http://10.0.0.7/../../video.cgi?pass=secret", "10_0_0_7_video_cgi", None),
        ("https://[::1]:8443/", "1_8443", None),
        ("test:", "test", 30),
        ("test://?fps=5", "test", 5),
    ],
)
def test_uris_that_are_live(uri: str, name: str, fps: float | None) -> None:
    source = open_source(uri)
    assert source.live
    assert source.length is None
    assert source.name == name  # type: ignore[attr-defined]
    assert source.frames_per_second == fps


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("0?bitrate=3", "no parameter 'bitrate'; there is size, fps, format"),
        ("0?format=jpeg2", "four letters"),
        ("csi://left", "number of the camera"),
        ("csi://", "number of the camera"),
        ("gst:", "give a pipeline"),
        ("gst: !", "give a pipeline"),
        ("rtsp://", "names no host"),
        ("http://host:99999/", "names no host"),
        ("http://[::1/", "names no host"),
        ("test:moving", "test: or test:"),
        ("test:?size=0x0", "WIDTHxHEIGHT"),
    ],
)
def test_uris_that_are_not_complete(uri: str, sentence: str) -> None:
    with pytest.raises(StreamError) as caught:
        open_source(uri)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_addresses_for_people_hold_no_secret() -> None:
    assert safe_url(urlsplit("rtsp://a:b@[::1]:554/x?key=c")) == "rtsp://[::1]:554/x"
    assert safe("///") == "camera"

from __future__ import annotations

import dataclasses
import json
import socket

import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.sinks import open_sink


@pytest.fixture
def listener():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        yield listener


def test_one_datagram_a_frame(listener: socket.socket, result) -> None:
    uri = f"udp://127.0.0.1:{listener.getsockname()[1]}"
    with open_sink(uri, lambda r: r.frame.image) as sink:
        sink(result(0))
        sink(result(1))
    assert [json.loads(listener.recv(65_536))["index"] for _ in range(2)] == [0, 1]
    assert sink.written == [uri]


def test_nobody_needs_to_listen(listener: socket.socket, result) -> None:
    port = listener.getsockname()[1]
    listener.close()
    with open_sink(f"udp://127.0.0.1:{port}", lambda r: r.frame.image) as sink:
        for i in range(5):
            sink(result(i))


def test_a_result_that_fits_into_no_datagram(listener: socket.socket, result) -> None:
    one = result(0)
    with open_sink(f"udp://127.0.0.1:{listener.getsockname()[1]}", lambda r: r.frame.image) as sink:
        with pytest.raises(StreamError, match=r"does not fit into a UDP datagram of 65,507"):
            sink(dataclasses.replace(one, objects=one.objects * 1000))
        sink(one)
    assert json.loads(listener.recv(65_536))["index"] == 0


@pytest.mark.parametrize(
    "uri", ["udp://", "udp://host", "udp://:9", "udp://host:port", "udp://host:99999", "udp:9"]
)
def test_addresses_that_are_none(uri: str) -> None:
    with pytest.raises(StreamError, match="give udp://HOST:PORT"):
        open_sink(uri, lambda r: r.frame.image)


def test_a_host_without_an_address() -> None:
    with pytest.raises(StreamError, match=r"cannot send to udp://nowhere\.invalid:1"):
        open_sink("udp://nowhere.invalid:1", lambda r: r.frame.image)

from __future__ import annotations

import socket

import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.web.address import VANISHED_AFTER, Address, listen, parse


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("http://127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("http://0.0.0.0:9000/", Address("0.0.0.0", 9000)),
        ("http://127.0.0.1", Address("127.0.0.1", 8080)),
        ("http://:8081", Address("127.0.0.1", 8081)),  # not told otherwise
        ("http://[::1]:8080", Address("::1", 8080)),
        ("http://Localhost:0", Address("localhost", 0)),
    ],
)
def test_a_uri_is_an_address(uri: str, address: Address) -> None:
    assert parse(uri) == address


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("https://0.0.0.0:8080", "reverse proxy"),
        ("http://127.0.0.1:port", "no address"),
        ("http://127.0.0.1:70000", "no address"),
        ("http://127.0.0.1:8080/path", "no address"),
        ("http://me:secret@127.0.0.1:8080", "no address"),
        ("http://127.0.0.1:8080/?token=mine", "no address"),
    ],
)
def test_other_uris_are_refused(uri: str, sentence: str) -> None:
    with pytest.raises(StreamError, match=sentence):
        parse(uri)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("jetson", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_what_only_this_machine_can_reach(host: str, loopback: bool) -> None:
    assert Address(host, 8080).loopback is loopback


def test_a_port_in_use_is_one_sentence() -> None:
    with listen(Address("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StreamError, match=rf"^port {port} of 127.0.0.1 is in use; give another port"):
            listen(Address("127.0.0.1", port))


def test_viewers_that_vanish_are_let_go() -> None:
    with listen(Address("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()):
        viewer, _ = listening.accept()
        with viewer:
            assert viewer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert viewer.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * VANISHED_AFTER


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host", "nowhere.invalid"])
def test_an_address_of_another_machine_is_one_sentence(host: str) -> None:
    with pytest.raises(StreamError, match=r"serve at 127\.0\.0\.1"):
        listen(Address(host, 0))


def test_links_name_an_address_that_others_can_open() -> None:
    assert Address("127.0.0.1", 0).url(81) == "http://127.0.0.1:81/"
    assert Address("::1", 0).url(81) == "http://[::1]:81/"
    assert "0.0.0.0" not in Address("0.0.0.0", 0).url(81)

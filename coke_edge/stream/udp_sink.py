"""Results as JSON over UDP, one datagram a frame."""

from __future__ import annotations

import socket
from types import TracebackType
from urllib.parse import urlsplit

import msgspec

from coke_edge.errors import StreamError
from coke_edge.stream.frame import Result

MOST = 65_507  # bytes of data in a datagram over IPv4


class UdpSink:
    """Sends the JSON of each result to `udp://host:port`, whether or not anybody listens.

    Raises StreamError if the address is none, or its host has no address.
    """

    backlog = 100  # what is older is of no use to a listener that wants the newest
    pixels = False

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._socket = connect(uri)
        self.written: list[str] = []

    def __call__(self, result: Result) -> None:
        data = msgspec.json.encode(result.to_dict())
        if len(data) > MOST:
            raise StreamError(
                f"a result of {len(data):,} bytes of JSON does not fit into a UDP datagram of {MOST:,}; "
                "use --sink out.jsonl or search fewer regions"
            )
        try:
            self._socket.send(data)
        except ConnectionRefusedError:
            pass  # the earlier datagram found nobody listening, which is no fault: somebody may come
        except OSError as error:
            raise StreamError(f"cannot send to {self._uri}: {error.strerror}") from None
        self.written = [self._uri]

    def __enter__(self) -> UdpSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()


def connect(uri: str) -> socket.socket:
    """A UDP socket for `udp://host:port`. Raises StreamError if that is no address."""
    try:
        address = urlsplit(uri)
        host, port = address.hostname, address.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise StreamError(f"{uri} is no address to send to; give udp://HOST:PORT, as in udp://127.0.0.1:9000")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        found = socket.socket(family, kind, protocol)
        found.connect(place)
    except OSError as error:
        raise StreamError(f"cannot send to {uri}: {error.strerror}") from None
    return found

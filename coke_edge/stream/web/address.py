"""From a URI to the address where the page is served, and to the link that a person opens."""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import socket
from urllib.parse import urlsplit

from coke_edge.errors import StreamError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080
VANISHED_AFTER = 20  # seconds until a viewer that takes no bytes any more, or lost its network, is let go
ELSEWHERE = ("192.0.2.1", 9)  # a documentation address: asking for the route to it sends nothing


@dataclasses.dataclass(frozen=True)
class Address:
    """Where to listen."""

    host: str
    port: int  # 0: any free one

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def everywhere(self) -> bool:
        """Whether it is every interface of the machine."""
        return self.host in ("0.0.0.0", "::")

    def url(self, port: int) -> str:
        """The page's address for a browser, when `port` is the one that was got."""
        host = outward_host(":" in self.host) if self.everywhere else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def parse(uri: str) -> Address:
    """The address in `http://HOST:PORT`; 127.0.0.1 and 8080 where they are left out.

    Raises StreamError for anything else, for a path, user or query too: nothing of it would be kept.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise StreamError(f"{uri} is no address to serve at; give http://127.0.0.1:8080") from None
    if parts.scheme == "https":
        raise StreamError(
            f"the page is served without TLS; give http:// in place of {uri}, and put a reverse proxy with a "
            "certificate before it"
        )
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme != "http" or extra:
        raise StreamError(f"{uri} is no address to serve at; give http://127.0.0.1:8080")
    return Address(parts.hostname or DEFAULT_HOST, DEFAULT_PORT if port is None else port)


def listen(address: Address) -> socket.socket:
    """A listening socket. Raises StreamError if the address is taken, or not one of this machine's."""
    try:
        family, _, _, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise StreamError(
            f"there is no address {address.host} here; serve at 127.0.0.1, or at 0.0.0.0 for other machines"
        ) from None
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        let_go_of_the_vanished(listening)
        listening.bind(where)
        listening.listen()
    except OSError as error:
        listening.close()
        raise StreamError(refusal(address, error)) from None
    return listening


def let_go_of_the_vanished(listening: socket.socket) -> None:
    """Have the kernel end connections of viewers that are gone: accepted sockets inherit these options."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", VANISHED_AFTER // 2),
        ("TCP_KEEPINTVL", VANISHED_AFTER // 4),
        ("TCP_KEEPCNT", 2),
        ("TCP_USER_TIMEOUT", VANISHED_AFTER * 1000),
    ):
        if hasattr(socket, option):  # Linux has all of them
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def refusal(address: Address, error: OSError) -> str:
    """Why it is not possible to listen, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {address.port} of {address.host} is in use; give another port, as in "
            f"http://{address.host}:{address.port + 1}, or end the program that holds it"
        )
    if error.errno == errno.EACCES:
        return f"port {address.port} needs root; give one from 1024 on, as in http://{address.host}:8080"
    return f"cannot serve at {address.host}, port {address.port}: {error.strerror}; serve at 127.0.0.1 or 0.0.0.0"


def outward_host(six: bool = False) -> str:
    """This machine's address as its network sees it; its name where there is no network."""
    family = socket.AF_INET6 if six else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(("2001:db8::1", 9) if six else ELSEWHERE)
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()

"""Who may see the page: the check of every request before anything answers it."""

from __future__ import annotations

import html
import ipaddress
import secrets
import socket
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from coke_edge.stream.web.address import Address

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_BYTES = 24  # 192 bits: not to be guessed
COOKIE_SECONDS = 30 * 24 * 3600

# Nothing from elsewhere, nothing inline, in nobody's frame; neither the token nor a picture stays in a cache.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def make_token() -> str:
    """A new token, safe in a URL."""
    return secrets.token_urlsafe(TOKEN_BYTES)


class Guard:
    """Lets requests through that name this machine and, where a token is asked for, carry it.

    The link's token becomes a cookie on the first visit, and the browser is sent on to the bare address: the token
    is then in no address bar, no Referer and no log.
    """

    def __init__(self, app: ASGIApp, address: Address, token: str | None) -> None:
        self._app = app
        self._address = address
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await (self._refuse(Request(scope)) or self._app)(scope, receive, send_with_headers)

    def _refuse(self, request: Request) -> Response | None:
        """The answer to a request that may not pass, None if it may."""
        host, port = parse_host(request.headers.get("host", ""))
        if not names_this_machine(host, self._address):
            sentence = "Open this page by the address that coke-edge printed."
            return page(HTTPStatus.MISDIRECTED_REQUEST, sentence)
        if self._token is None:
            return None
        cookie = f"coke_edge_view_{port}"  # browsers send a host's cookies to all of its ports
        if same(request.cookies.get(cookie, ""), self._token):
            return None
        if request.scope["path"] == "/" and same(request.query_params.get("token", ""), self._token):
            # "Lax": a link in a message counts as coming from elsewhere, and "Strict" would keep the cookie back.
            onward = RedirectResponse("/", HTTPStatus.SEE_OTHER)
            onward.set_cookie(cookie, self._token, COOKIE_SECONDS, httponly=True, samesite="lax")
            return onward
        return page(
            HTTPStatus.UNAUTHORIZED,
            "Open the link that coke-edge printed when it started; it ends in ?token= and a long word.",
        )


def same(given: str, expected: str) -> bool:
    """Whether two texts are equal, in a time that does not depend on where they differ."""
    return secrets.compare_digest(given.encode(), expected.encode())


def parse_host(header: str) -> tuple[str, int]:
    """Name and port in a request's Host, in small letters; no name if it is none."""
    try:
        parts = urlsplit(f"//{header}")
        return parts.hostname or "", parts.port or 80
    except ValueError:
        return "", 0


def names_this_machine(host: str, address: Address) -> bool:
    """Whether `host` is one that this machine is known by.

    A foreign web page can point its own name at our address (DNS rebinding) and would then read the answers as its
    own; it cannot make the browser send another name than its own. Ports may differ: tunnels change them.
    """
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        mine = socket.gethostname().lower()
        ours = {"localhost", address.host.lower()}
        return host in (ours if address.loopback else ours | {mine, f"{mine}.local"})
    return number.is_loopback or not address.loopback


def page(status: HTTPStatus, sentence: str) -> Response:
    """A page with one sentence."""
    template = (files(__package__) / "page" / "refused.html").read_text(encoding="utf-8")
    return HTMLResponse(template.replace("SENTENCE", html.escape(sentence)), status)

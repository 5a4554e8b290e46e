"""The web view as a sink: a server in a thread of its own, for as long as the sink's block lasts."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from coke_edge.errors import StreamError
from coke_edge.stream.frame import Result
from coke_edge.stream.sinks import Painter
from coke_edge.stream.web.address import listen, parse

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from uvicorn import Server

LOGGER = "uvicorn.error"
CONNECTIONS = 100  # at once; a browser takes two
GRACE = 1  # seconds that answers under way get when the run ends
STOP = 5.0  # seconds until a server that does not end is left behind


def announce_on_stderr(link: str) -> None:
    """Tell the person who started the run where to look."""
    print(f"Watch at {link}", file=sys.stderr, flush=True)


class WebSink:
    """A page at `uri` (`http://127.0.0.1:8080`) that shows each result as it comes.

    Only this machine can open it, unless the URI names another of its addresses, or 0.0.0.0 for all: then the
    page asks for a token, which is part of the link that `announce` gets, once.

    Raises StreamError if the URI is no address to serve at, or if the packages are missing; entering the block
    raises it if the port is taken.
    """

    def __init__(
        self, uri: str, paint: Painter, announce: Callable[[str], None] = announce_on_stderr
    ) -> None:
        self._address = parse(uri)
        try:
            import starlette  # noqa: F401
            import uvicorn  # noqa: F401
        except ImportError as error:
            raise StreamError(
                f"the page at {uri} needs {error.name}: run pip install 'coke-edge[web]'"
            ) from None
        from coke_edge.stream.web.minute import Minute
        from coke_edge.stream.web.newest import Newest

        self._newest = Newest(paint)
        self._minute = Minute()
        self._announce = announce
        self._closing = ExitStack()
        self.written: list[str] = []  # a page is looked at, and holds nothing

    def __call__(self, result: Result) -> None:
        """Leave a result for whoever looks; the work of showing it is done in the server's thread."""
        self._minute.add(time.monotonic(), 1000 * result.latency)
        self._newest.put(result)

    def __enter__(self) -> WebSink:
        from coke_edge.stream.web.access import make_token
        from coke_edge.stream.web.app import make_app

        token = None if self._address.loopback else make_token()
        server = make_server(make_app(self._newest, self._minute, self._address, token))
        listening = self._closing.enter_context(listen(self._address))
        link = self._address.url(listening.getsockname()[1])
        thread = threading.Thread(target=server.run, args=([listening],), name="web view", daemon=True)
        self._closing.callback(self._stop, server, thread)
        thread.start()
        while not server.started:
            if not thread.is_alive():
                raise StreamError(f"the server of {link} did not start; what it said stands above")
            time.sleep(0.005)
        self._announce(link if token is None else f"{link}?token={token}")
        return self

    def _stop(self, server: Server, thread: threading.Thread) -> None:
        self._newest.end()
        logging.getLogger(LOGGER).setLevel(logging.CRITICAL)  # that a viewer's answer was cut off is no news
        server.should_exit = True
        thread.join(STOP)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()


def make_server(app: ASGIApp) -> Server:
    """The server, for a thread: it takes no signals, and logs neither requests nor their addresses."""
    import uvicorn

    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=GRACE,
    )
    return uvicorn.Server(config)

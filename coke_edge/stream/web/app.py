"""What the server answers: the page's files, the newest frame, the latency of the last minute."""

from __future__ import annotations

import time
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from coke_edge.stream.web.access import Guard
from coke_edge.stream.web.address import Address
from coke_edge.stream.web.minute import Minute
from coke_edge.stream.web.newest import Newest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

PATIENCE = 10.0  # seconds that a viewer waits for a frame; then it hears that the server is there
NO_FRAME, ENDED = 204, 410  # HTTP status
PAGE = {  # path: file and type
    "/": ("index.html", "text/html"),
    "/view.js": ("view.js", "text/javascript"),
    "/table.js": ("table.js", "text/javascript"),
    "/chart.js": ("chart.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def make_app(newest: Newest, minute: Minute, address: Address, token: str | None) -> Guard:
    """The application, behind its guard."""

    async def frame(request: Request) -> Response:
        """The newest frame when it is another than the one that the viewer has (`?after=`)."""
        message = await newest.after(request.query_params.get("after", ""), PATIENCE)
        if message is None:
            return Response(status_code=ENDED if newest.ended else NO_FRAME)
        return Response(message, media_type="application/octet-stream")

    async def latency(request: Request) -> Response:
        """The last minute."""
        return JSONResponse(minute.report(time.monotonic()))

    routes = [Route(path, serve(name, kind)) for path, (name, kind) in PAGE.items()]
    return Guard(
        Starlette(routes=[*routes, Route("/frame", frame), Route("/latency", latency)]), address, token
    )


def serve(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that gives one file of the page."""
    content = (files(__package__) / "page" / name).read_bytes()

    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=kind)

    return endpoint

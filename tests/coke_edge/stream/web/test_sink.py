"""The running server, asked by plain HTTP."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from coke_edge.errors import StreamError
from coke_edge.stream.web.access import names_this_machine, parse_host
from coke_edge.stream.web.address import Address
from coke_edge.stream.web.sink import WebSink


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing."""

    def redirect_request(self, *ignored: Any) -> None:
        return None


def ask(url: str, **headers: str) -> HTTPResponse | urllib.error.HTTPError:
    """The answer, whatever its status."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay())
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=20)
    except urllib.error.HTTPError as error:
        return error


def frame(link: str, after: int = 0) -> tuple[dict[str, Any], np.ndarray]:
    """What the page would show next."""
    body = ask(f"{link}frame?after={after}").read()
    (length,) = struct.unpack(">I", body[:4])
    picture = cv2.imdecode(np.frombuffer(body[4 + length :], np.uint8), cv2.IMREAD_COLOR)
    return json.loads(body[4 : 4 + length]), picture


def ask_and_never_read(link: str) -> socket.socket:
    """A viewer that asks for more than the kernel's buffers hold, and takes no byte of the answers."""
    parts = urlsplit(link)
    viewer = socket.socket()
    viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    viewer.connect((parts.hostname, parts.port))
    viewer.sendall(10 * f"GET /frame HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    return viewer


def test_every_file_of_the_page_and_nothing_else(view) -> None:
    _, link = view()
    for path in ("", "view.js", "table.js", "chart.js", "style.css", "icon.svg", "latency"):
        answer = ask(link + path)
        assert answer.status == 200, path
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers
        text = answer.read().decode()
        assert "style=" not in text
        assert not [word for word in ("https://", "innerHTML", "eval(") if word in text], path
    for path in ("refused.html", "../app.py", "page/index.html", "%2e%2e/app.py"):
        assert ask(link + path).status == 404


def test_the_newest_frame_and_what_is_said_of_it(view, make_result) -> None:
    sink, link = view()
    for index in range(12):
        sink(make_result(index))
    told, picture = frame(link)
    assert (told["sequence"], told["index"], told["dropped"]) == (12, 11, 22)
    assert told["objects"][0][0]["x"] == 21
    assert picture.shape == (120, 160, 3)
    assert (picture == 110).all()


def test_a_viewer_waits_for_a_frame_that_it_has_not_seen(view, make_result) -> None:
    sink, link = view()
    sink(make_result(1))
    threading.Timer(0.4, sink, [make_result(2)]).start()
    start = time.monotonic()
    told, _ = frame(link, after=1)
    assert told["index"] == 2
    assert 0.3 < time.monotonic() - start < 5


def test_a_frame_is_encoded_once_and_only_for_viewers(view, make_result) -> None:
    painted: list[int] = []

    def count(result):
        painted.append(result.frame.index)
        time.sleep(0.05)
        return result.frame.image

    sink, link = view(paint=count)
    for index in range(50):
        sink(make_result(index))
    assert painted == []
    viewers = [threading.Thread(target=frame, args=(link,)) for _ in range(6)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join()
    assert painted == [49]


def test_stalled_viewers_slow_neither_the_run_nor_others(
    view, make_result, caplog: pytest.LogCaptureFixture
) -> None:
    sink, link = view()
    noise = make_result(0, (960, 1280), noise=True)  # megabytes, as JPEG too
    sink(noise)
    stalled = [ask_and_never_read(link) for _ in range(5)]
    time.sleep(0.5)
    start = time.perf_counter()
    for index in range(200):
        sink(make_result(index))
    assert time.perf_counter() - start < 200 * 0.01
    assert frame(link)[0]["sequence"] == 201
    start = time.monotonic()
    sink.__exit__(None, None, None)
    assert time.monotonic() - start < 4
    assert caplog.text == ""
    for viewer in stalled:
        viewer.close()


def test_viewers_that_vanish_leave_nothing(view, make_result, caplog: pytest.LogCaptureFixture) -> None:
    sink, link = view()
    before = threading.active_count()
    for index in range(30):
        viewer = ask_and_never_read(link)
        if index % 2:
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        viewer.close()
        sink(make_result(index))
    assert frame(link)[0]["index"] == 29
    assert threading.active_count() <= before + 6  # encoders of the pool
    assert caplog.text == ""


def test_leaving_the_block_ends_all(make_result, caplog: pytest.LogCaptureFixture) -> None:
    links: list[str] = []
    statuses: list[int] = []
    with WebSink("http://127.0.0.1:0", lambda r: r.frame.image, links.append) as sink:
        sink(make_result(1))
        waiting = threading.Thread(target=lambda: statuses.append(ask(f"{links[0]}frame?after=1").status))
        waiting.start()
        while sink._newest._loop is None:  # the question is not there yet
            time.sleep(0.01)
        time.sleep(0.1)
        start = time.monotonic()
    assert time.monotonic() - start < 3
    waiting.join(5)
    assert statuses == [410]
    sink(make_result(2))  # too late for anybody, and no error
    assert not [thread for thread in threading.enumerate() if thread.name == "web view"]
    with pytest.raises(urllib.error.URLError):
        ask(links[0])
    with WebSink(links[0], lambda r: r.frame.image, links.append):  # the port is free again
        assert ask(links[1]).status == 200
    assert caplog.text == ""


def test_an_error_in_the_block_ends_all_too() -> None:
    with pytest.raises(ZeroDivisionError), WebSink("http://127.0.0.1:0", lambda r: r.frame.image):
        raise ZeroDivisionError
    assert not [thread for thread in threading.enumerate() if thread.name == "web view"]


def test_a_taken_port_is_refused_on_entering() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sink = WebSink(f"http://127.0.0.1:{taken.getsockname()[1]}", lambda r: r.frame.image)
        with pytest.raises(StreamError, match="is in use"):
            sink.__enter__()


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(StreamError, match=r"pip install 'coke-edge\[web\]'"):
        WebSink("http://127.0.0.1:0", lambda r: r.frame.image)


def test_importing_the_sink_needs_no_server() -> None:
    code = (
        "import coke_edge.stream.web.sink, sys; print({'starlette', 'uvicorn', 'anyio'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_a_foreign_name_is_refused_on_loopback_too(view) -> None:
    _, link = view()
    port = urlsplit(link).port
    for host, status in (
        ("127.0.0.1", 200),
        (f"localhost:{port}", 200),
        ("localhost:9999", 200),  # through a tunnel
        ("evil.example", 421),
        (f"127.0.0.1.evil.example:{port}", 421),
        ("", 421),
    ):
        assert ask(link, Host=host).status == status, host


def test_strange_requests_are_answered_and_not_logged(
    view, make_result, caplog: pytest.LogCaptureFixture
) -> None:
    sink, link = view()
    sink(make_result(1))
    where = urlsplit(link).netloc
    for request, status in (
        (f"GET /frame?after={'9' * 9000} HTTP/1.1\r\nHost: {where}", 200),
        (f"GET /frame?after=-1 HTTP/1.1\r\nHost: {where}", 200),
        (f"POST /frame HTTP/1.1\r\nHost: {where}\r\nContent-Length: 0", 405),
        (f"GET http://evil.example/ HTTP/1.1\r\nHost: {where}", 404),
        (f"GET // HTTP/1.1\r\nHost: {where}", 404),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:port", 421),
        (f"GET /frame HTTP/1.1\r\nHost: {where}\r\nUpgrade: websocket\r\nConnection: Upgrade", 200),
        ("no HTTP at all", 400),
    ):
        with socket.create_connection((urlsplit(link).hostname, urlsplit(link).port), timeout=20) as viewer:
            viewer.sendall(f"{request}\r\n\r\n".encode())
            assert viewer.recv(12) == f"HTTP/1.1 {status}".encode(), request
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("header", "host", "passes"),
    [
        ("[::1]:8080", "127.0.0.1", True),
        ("192.168.1.7", "127.0.0.1", False),
        ("192.168.1.7:8080", "0.0.0.0", True),
        ("LOCALHOST", "0.0.0.0", True),
        (socket.gethostname(), "0.0.0.0", True),
        (f"{socket.gethostname()}.local:8080", "0.0.0.0", True),
        (f"{socket.gethostname()}.evil.example", "0.0.0.0", False),
        ("camera.plant", "camera.plant", True),
        ("evil.example", "0.0.0.0", False),
        ("[::1", "0.0.0.0", False),
        ("127.0.0.1:port", "127.0.0.1", False),
        ("user@evil.example", "0.0.0.0", False),
    ],
)
def test_names_of_this_machine(header: str, host: str, passes: bool) -> None:
    assert names_this_machine(parse_host(header)[0], Address(host, 8080)) is passes


def test_another_interface_asks_for_the_token(view, outward: str, make_result) -> None:
    sink, link = view("0.0.0.0")
    sink(make_result(1))
    bare, _, token = link.partition("?token=")
    assert urlsplit(bare).hostname == outward
    assert len(token) >= 32
    for path in ("", "frame", "latency", "view.js", "nothing", "?token=", f"?token={token[:-1]}", "?token=é"):
        assert ask(bare + path.replace("é", "%C3%A9")).status == 401, path
    assert ask(f"{bare}frame?token={token}").status == 401  # the page's address alone takes it
    assert ask(f"http://127.0.0.1:{urlsplit(bare).port}/").status == 401

    answer = ask(link)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    cookie = cookie.partition(";")[0]
    for path in ("", "frame", "latency", "view.js"):
        assert ask(bare + path, Cookie=cookie).status == 200, path
    assert ask(bare, Cookie=cookie[:-1]).status == 401
    assert ask(bare, Cookie=cookie, Host="evil.example").status == 421


def test_each_run_has_its_own_token(view, outward: str) -> None:
    assert len({view(outward)[1].partition("?token=")[2] for _ in range(3)}) == 3


def test_the_token_is_printed_once_and_never_logged(
    outward: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with WebSink(f"http://{outward}:0", lambda r: r.frame.image):
        link = capfd.readouterr().err.split()[-1]
        assert ask(link).status == 303
    captured = capfd.readouterr()
    assert captured.out + captured.err + caplog.text == ""

"""The page in a real headless Chromium."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from headless_browser import CONTRAST

from coke_edge.stream.web.sink import WebSink

LIVE = "document.getElementById('state')?.dataset.state === 'live'"
PIXEL = """
(() => {
  const copy = new OffscreenCanvas(160, 120).getContext("2d", { willReadFrequently: true });
  copy.drawImage(document.getElementById("picture"), 0, 0);
  return copy.getImageData(80, 60, 1, 1).data.join();
})()
"""
TABLE = "[...document.querySelectorAll('tbody tr')].map((r) => [...r.cells].map((c) => c.innerText.trim()))"


@contextmanager
def running(sink, make_result) -> Iterator[None]:
    """Feed results to a sink, 20 a second."""
    stop = threading.Event()

    def feed() -> None:
        index = 1
        while not stop.wait(0.05):
            sink(make_result(index % 20))
            index += 1

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def changes(browser, script: str) -> None:
    """Wait until an expression has had four values."""
    seen: set[str] = set()
    end = time.monotonic() + 30
    while len(seen) < 4:
        assert time.monotonic() < end, seen
        seen.add(browser.run(script))
        time.sleep(0.1)


def test_picture_table_chart_and_no_complaint(view, make_result, browser) -> None:
    sink, link = view()
    browser.look(1280, 800)
    browser.go(link)
    browser.until("document.getElementById('state')?.innerText === 'Waiting for the first frame'")
    with running(sink, make_result):
        browser.until(LIVE)
        changes(browser, PIXEL)
        changes(browser, f"{TABLE}[0][1]")  # the left eye moves
        _, right_eye, nose = browser.run(TABLE)
        assert right_eye == ["right eye", "30.0", "40.3", "−0.125", "0.250", "hidden 20 %"]
        assert nose == ["nose", "–", "–", "–", "–", "not found –"]
        browser.until("document.querySelectorAll('#plot polyline.curve').length === 3")
        browser.until("parseFloat(document.getElementById('rate').innerText) > 5")
        assert browser.run("document.getElementById('p50').innerText") == "12.0 ms"
        assert browser.run("document.getElementById('plot').ariaLabel").startswith(
            "Latency of the last minute: p50"
        )
        assert 40 <= float(browser.run("document.getElementById('age').innerText")) < 5000
        assert int(browser.run("document.getElementById('dropped').innerText")) >= 0
        for dark in (False, True):
            browser.look(1280, 800, dark)
            assert browser.run(CONTRAST) == []
        browser.look(360, 740, phone=True)
        assert browser.run("document.documentElement.scrollWidth") == 360
        assert (
            browser.run("(([n]) => n.scrollWidth - n.clientWidth)([document.getElementById('keypoints')])")
            == 0
        )
    browser.until("document.getElementById('state').innerText.startsWith('No new frame for')")
    assert browser.complaints == []
    assert all(address.startswith(link) for address in browser.addresses)
    before = browser.run(PIXEL)
    sink.__exit__(None, None, None)
    browser.until("document.getElementById('state').innerText === 'The run has ended'")
    assert browser.run(PIXEL) == before  # the last frame stays
    with WebSink(link, lambda result: result.frame.image, announce=lambda _: None) as again:
        again(make_result(7))
        browser.until(LIVE)  # by itself
        assert browser.run(PIXEL) == "70,70,70,255"


def test_the_page_obeys_its_own_policy(view, make_result, browser) -> None:
    sink, link = view()
    sink(make_result(1))
    browser.go(link)
    browser.until(LIVE)
    refused = browser.run("new Promise((done) => { addEventListener('securitypolicyviolation', (e) => "
                          "done(e.violatedDirective)); const s = document.createElement('script'); "
                          "s.textContent = 'window.hacked = 1'; document.head.append(s); })")  # fmt: skip
    assert refused.startswith("script-src")
    assert browser.run("window.hacked") is None


@pytest.mark.parametrize("host", ["outward", "everywhere"])
def test_another_interface_shows_nothing_without_the_token(view, make_result, browser, outward, host) -> None:
    sink, link = view(outward if host == "outward" else "0.0.0.0")
    bare = link.partition("?")[0]
    with running(sink, make_result):
        browser.go(bare)
        browser.until("document.body?.innerText.includes('Open the link that coke-edge printed')")
        assert browser.run("document.scripts.length") == 0
        browser.complaints.clear()  # Chromium logs the 401
        browser.go(link)
        browser.until(LIVE)
        assert browser.run("location.href") == bare  # the token is gone from the address
        assert browser.run("document.cookie") == ""
        assert browser.run("document.referrer") == ""
        browser.go(bare)  # the cookie is enough from now on
        browser.until(LIVE)
        assert browser.complaints == []

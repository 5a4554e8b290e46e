"""A window with the annotated picture."""

from __future__ import annotations

import os
import sys
from types import TracebackType

import cv2

from coke_edge.errors import StreamError
from coke_edge.stream.frame import Result
from coke_edge.stream.sinks import Closed, Painter

TITLE = "coke-edge (q closes)"
ESCAPE = 27
POLL = 30  # milliseconds


class WindowSink:
    """Shows each result; q, Escape or the window's own button ends the run, by `Closed`.

    A picture that came alone stays until the window is closed.
    Raises StreamError if this OpenCV has no windows or there is no screen.
    """

    backlog = 0  # shown by the thread that runs: toolkits want one thread, and on some systems the main one
    pixels = True

    def __init__(self, paint: Painter, live: bool = False) -> None:
        check_windows()
        self._paint = paint
        self._live = live
        self._shown = 0
        self._closed = False
        self.written: list[str] = []

    def __call__(self, result: Result) -> None:
        if self._shown == 0:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
            height, width = result.frame.image.shape[:2]
            cv2.resizeWindow(TITLE, width, height)
        cv2.imshow(TITLE, self._paint(result))
        self._shown += 1
        self.written = ["window:"]
        self._closed = closed(1)
        if self._closed:
            raise Closed("the window was closed")

    def __enter__(self) -> WindowSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown == 1 and not self._live and kind is None:
            while not self._closed:
                self._closed = closed(POLL)
        if self._shown:
            cv2.destroyAllWindows()


def closed(milliseconds: int) -> bool:
    """Whether q or Escape is pressed within that time, or the window is no more."""
    key = cv2.waitKey(milliseconds) & 0xFF
    return key in (ESCAPE, ord("q")) or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1


def check_windows() -> None:
    """Raises StreamError, with the remedy, if no window can be opened here."""
    if not cv2.currentUIFramework():
        raise StreamError(
            "this OpenCV is the build without windows: `pip uninstall -y opencv-python-headless && pip install "
            "opencv-python` brings them, and --sink http://127.0.0.1:8080 shows the picture in a browser"
        )
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise StreamError(
            "there is no screen to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set); "
            "--sink http://127.0.0.1:8080 shows the picture in a browser"
        )

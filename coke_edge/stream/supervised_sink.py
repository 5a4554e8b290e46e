"""A sink of a live run: when it fails the run goes on, and it is opened again."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable

from coke_edge.errors import CokeError
from coke_edge.stream.backoff import delays
from coke_edge.stream.frame import Result, Sink
from coke_edge.stream.sinks import Closed

REMEMBERED = 1000  # names of written files: each failure of a video makes another one

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long a live run waits for its sinks, in seconds."""

    first: float = 1.0  # before a sink that failed is opened again; each failure doubles the pause …
    longest: float = 60.0  # … up to this
    steady: float = 10.0  # without a failure until a sink is said to work again
    drain: float = 5.0  # at the end, for results that wait; and as many to finish


class SupervisedSink:
    """Hands results to the sink that `open_it` gives; what that raises is said once, not raised.

    After a failure the sink is closed (a video plays) and opened again after a pause with jitter; results in
    between are lost and counted. `Closed` is raised as it is.
    Only the beginning is strict: the constructor and `start` raise what the sink raises.
    """

    def __init__(self, name: str, open_it: Callable[[], Sink], patience: Patience) -> None:
        self.name = name
        self.lost = 0
        self.failing = False
        self._open_it = open_it
        self._patience = patience
        self._pauses = delays(patience.first, patience.longest)
        self._sink: Sink | None = open_it()
        self._entered = False
        self._failed_at = self._retry_at = 0.0
        self._written: list[str] = []
        self.backlog: int = getattr(self._sink, "backlog", 1)
        self.pixels: bool = getattr(self._sink, "pixels", True)

    @property
    def written(self) -> list[str]:
        """What the sink has written since it was first opened, each name once."""
        names = self._written + (self._sink.written if self._sink else [])
        return list(dict.fromkeys(names))

    def start(self) -> None:
        """Enter the sink's block for the first time."""
        if self._sink is not None and not self._entered:
            self._sink.__enter__()
            self._entered = True

    def __call__(self, result: Result) -> None:
        if self._sink is None and time.monotonic() < self._retry_at:
            self.lost += 1
            return
        try:
            if self._sink is None:
                self._sink = self._open_it()
            self.start()
            self._sink(result)
        except Closed:
            raise
        except Exception as error:
            self.lost += 1
            self._fail(error)
        else:
            if self.failing and time.monotonic() - self._failed_at > self._patience.steady:
                self._recover()

    def close(self) -> None:
        """Finish the sink; a failure is said."""
        try:
            self._leave()
        except Exception as error:
            self._fail(error)

    def _leave(self) -> None:
        sink, entered = self._sink, self._entered
        self._sink, self._entered = None, False
        if sink is None:
            return
        try:
            if entered:
                sink.__exit__(None, None, None)
        finally:
            self._written = (self._written + sink.written)[-REMEMBERED:]

    def _fail(self, error: Exception) -> None:
        try:
            self._leave()
        except Exception as second:
            log.debug(f"the sink {self.name} could not be closed: {sentence(second)}")
        now = time.monotonic()
        if not self.failing:
            log.warning(
                f"the sink {self.name} fails and will be tried again: {sentence(error)}",
                extra={"event": "sink_failed", "fields": {"sink": self.name}},
            )
        self.failing = True
        self._failed_at = now
        self._retry_at = now + next(self._pauses)

    def _recover(self) -> None:
        self.failing = False
        self._pauses = delays(self._patience.first, self._patience.longest)
        log.info(
            f"the sink {self.name} works again; {self.lost} results did not reach it so far",
            extra={"event": "sink_recovered", "fields": {"sink": self.name, "lost": self.lost}},
        )


def sentence(error: Exception) -> str:
    """What went wrong, on one line; the type too where the text was not written for users."""
    text = " ".join(str(error).split())
    return (
        text if isinstance(error, CokeError) else f"{type(error).__name__}: {text}" if text else repr(error)
    )

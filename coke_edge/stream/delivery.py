"""Results to all sinks. A live run waits for none of them; a run over files waits for each and loses nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType

import numpy as np

from coke_edge.errors import CokeError, StreamError
from coke_edge.stream.frame import Result, Sink
from coke_edge.stream.sinks import Closed
from coke_edge.stream.supervised_sink import Patience, SupervisedSink, sentence

NO_PICTURE = np.zeros((0, 0, 3), np.uint8)

log = logging.getLogger(__name__)

Openers = Mapping[str, Callable[[], Sink]]  # the sinks' names (their URIs) and what opens each


def deliver(openers: Openers, live: bool) -> Delivery | LiveDelivery:
    """The sinks as one, for files or for a live run. All are opened now: raises what an opener raises."""
    return LiveDelivery(openers) if live else Delivery(openers)


class Delivery:
    """Several sinks as one that gives each every result, in order; the first failure ends the run.

    Raises StreamError for whatever a sink raises, so that a run over files ends with a sentence.
    """

    failed: tuple[str, ...] = ()

    def __init__(self, openers: Openers) -> None:
        self.lost: dict[str, int] = {}  # nothing, ever
        self.closed = threading.Event()  # set once a sink raised Closed, which ends the run
        self._sinks = {name: open_it() for name, open_it in openers.items()}
        self._closing = contextlib.ExitStack()

    @property
    def written(self) -> list[str]:
        """Files or folders that hold results by now."""
        return [name for sink in self._sinks.values() for name in sink.written]

    def __call__(self, result: Result) -> None:
        for name, sink in self._sinks.items():
            try:
                sink(result)
            except Closed:
                self.closed.set()
            except CokeError:
                raise
            except Exception as error:
                raise StreamError(f"the sink {name} failed: {sentence(error)}") from error

    def __enter__(self) -> Delivery:
        with contextlib.ExitStack() as stack:
            for sink in self._sinks.values():
                stack.enter_context(sink)
            self._closing = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.__exit__(kind, error, trace)


class LiveDelivery:
    """Several sinks as one that never waits: each has its thread and a short queue, where the newest win.

    A sink that fails is opened again, as SupervisedSink says; the others do not notice. A sink with
    `backlog` 0 is called by the thread that runs.
    """

    def __init__(self, openers: Openers, patience: Patience | None = None) -> None:
        patience = patience or Patience()
        self.closed = threading.Event()  # as in Delivery
        self._sinks = [SupervisedSink(name, open_it, patience) for name, open_it in openers.items()]
        self._lanes = [Lane(sink, patience.drain, self.closed) for sink in self._sinks if sink.backlog > 0]
        self._direct = [sink for sink in self._sinks if sink.backlog == 0]

    @property
    def written(self) -> list[str]:
        """Files or folders that hold results by now."""
        return [name for sink in self._sinks for name in sink.written]

    @property
    def lost(self) -> dict[str, int]:
        """By sink, how many results did not reach it: it was slow or did not work."""
        return {sink.name: sink.lost for sink in self._sinks}

    @property
    def failed(self) -> tuple[str, ...]:
        """The sinks that do not work."""
        return tuple(sink.name for sink in self._sinks if sink.failing)

    def __call__(self, result: Result) -> None:
        for lane in self._lanes:
            lane.put(result)
        for sink in self._direct:
            try:
                sink(result)
            except Closed:
                self.closed.set()

    def __enter__(self) -> LiveDelivery:
        with contextlib.ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(sink.close)
                sink.start()
            stack.pop_all()
        for lane in self._lanes:
            lane.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lane in self._lanes:
            lane.end()
        for sink in self._direct:
            sink.close()
        for lane in self._lanes:
            lane.wait()


class Lane(threading.Thread):
    """A thread that takes results to one sink from a queue of the sink's `backlog`."""

    def __init__(self, sink: SupervisedSink, drain: float, closed: threading.Event) -> None:
        super().__init__(name=f"sink {sink.name}", daemon=True)
        self._sink = sink
        self._drain = drain
        self._closed = closed  # set if the sink raises Closed
        self._queue: deque[Result] = deque(maxlen=sink.backlog)
        self._news = threading.Condition()
        self._until: float | None = None  # when what still waits is given up; None as long as the run lasts

    def put(self, result: Result) -> None:
        """Leave a result, without waiting; the oldest one goes if there is no room."""
        if not self._sink.pixels:
            result = dataclasses.replace(result, frame=dataclasses.replace(result.frame, image=NO_PICTURE))
        with self._news:
            self._sink.lost += len(self._queue) == self._queue.maxlen
            self._queue.append(result)
            self._news.notify()

    def end(self) -> None:
        """Let the thread end when it has dealt with what waits."""
        with self._news:
            self._until = time.monotonic() + self._drain
            self._news.notify()

    def wait(self) -> None:
        """Wait until it has ended; a sink that hangs is left behind."""
        self.join(2 * self._drain)
        if self.is_alive():
            self._sink.failing = True
            log.warning(
                f"the sink {self._sink.name} hangs and was left behind",
                extra={"event": "sink_hangs", "fields": {"sink": self._sink.name}},
            )

    def run(self) -> None:
        """The thread's work."""
        while (result := self._take()) is not None:
            try:
                self._sink(result)
            except Closed:
                self._closed.set()
                break
        self._sink.close()

    def _take(self) -> Result | None:
        """The oldest result that waits, None at the end."""
        with self._news:
            while not self._queue and self._until is None:
                self._news.wait()
            if self._until is not None and time.monotonic() > self._until:
                self._sink.lost += len(self._queue)
                return None
            return self._queue.popleft() if self._queue else None

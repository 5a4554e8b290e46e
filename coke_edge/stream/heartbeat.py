"""Signs of life of a live run: statistics in the log, and systemd's watchdog as long as the detector works."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from coke_edge.stream.frame import Frame, Source
from coke_edge.stream.systemd import notify, watchdog_seconds
from coke_edge.stream.tally import Tally

log = logging.getLogger(__name__)


class Watched:
    """A source that knows for how long its newest frame has been worked on."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._handed: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            self._handed = time.monotonic()
            yield frame
            self._handed = None

    @property
    def busy(self) -> float:
        """Seconds since a frame was handed over, 0 while the next one is waited for."""
        handed = self._handed
        return 0.0 if handed is None else time.monotonic() - handed


class Heartbeat:
    """Within its `with` block: statistics every `every` seconds, and `WATCHDOG=1` as often as systemd asks.

    A camera that is away is no reason to restart, since its source reconnects; a detector that does not come
    back with a frame within the watchdog's time is: then nothing is sent, and systemd restarts the service.
    """

    def __init__(
        self,
        source: Watched,
        tally: Tally,
        every: float,
        more: Callable[[], dict[str, Any]] = dict,
        say: Callable[[str], object] = len,
    ) -> None:
        self._source = source
        self._tally = tally
        self._every = every
        self._more = more  # further numbers for the log
        self._say = say  # a place for one short line, such as a progress bar
        self._within = watchdog_seconds()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        notify("READY=1")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        notify("STOPPING=1")
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        pause = min(self._every, self._within / 3) if self._within else self._every
        said, frames = time.monotonic(), 0
        while not self._over.wait(pause):
            if self._within and self._source.busy < self._within:
                notify("WATCHDOG=1")
            now = time.monotonic()
            if now - said >= self._every - 0.01:
                frames = self._statistics(now - said, frames)
                said = now

    def _statistics(self, seconds: float, frames_before: int) -> int:
        """Log the run so far, with the rate of the last `seconds`; the number of frames."""
        figures = self._tally.figures()
        rate = (figures["frames"] - frames_before) / seconds
        line = f"{rate:.1f} frames a second, {figures['dropped']} dropped"
        if age := figures["age_ms"]:
            line += f", age {age['median']:.0f} ms (95 % within {age['p95']:.0f})"
        fields = {**figures, "frames_per_second": rate, **self._more()}
        log.info(line, extra={"event": "statistics", "fields": fields})
        notify(f"STATUS={line}")
        self._say(line)
        return self._tally.frames

"""The newest frame of a camera, for as long as the run lasts."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Iterator

from coke_edge.errors import StreamError
from coke_edge.stream.backoff import delays
from coke_edge.stream.camera import Camera, Connect, Shot
from coke_edge.stream.frame import Frame
from coke_edge.stream.mailbox import Mailbox

JOIN = 3.0  # seconds that closing waits for the capture thread, which may hang in a driver

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Taken:
    """A frame as the capture thread leaves it."""

    index: int
    captured: float
    shot: Shot


class LiveSource:
    """Frames of a camera that a thread reads as fast as they come; only the newest is handed out.

    A camera that is lost later is connected again and again, with growing pauses, said once per outage; with
    `reconnect` off its end is the end, and its loss raises StreamError. A camera that gives no first frame
    raises StreamError in any case: its address may be wrong, and waiting does not mend that.
    """

    live = True
    length: int | None = None

    def __init__(
        self, name: str, connect: Connect, frames_per_second: float | None = None, reconnect: bool = True
    ) -> None:
        self.name = name  # of the frames and in the log: a valid file name, without passwords
        self.frames_per_second = frames_per_second
        self.outages = 0
        self._connect = connect
        self._reconnect = reconnect
        self._mailbox: Mailbox[Taken] = Mailbox()
        self._camera: Camera | None = None
        self._count = 0

    def __iter__(self) -> Iterator[Frame]:
        thread = threading.Thread(target=self._capture, name=f"capture {self.name}", daemon=True)
        thread.start()
        start: float | None = None
        damaged = 0
        try:
            while (mail := self._mailbox.take()) is not None:
                taken, dropped = mail
                image = taken.shot()
                if image is None:
                    damaged += 1
                    if damaged == 1:
                        logger.warning("%s sent a damaged frame; such frames are skipped", self.name)
                    continue
                start = taken.captured if start is None else start
                yield Frame(
                    taken.index,
                    image,
                    f"{self.name}/{taken.index:06d}",
                    taken.captured - start,
                    captured=taken.captured,
                    dropped=dropped + damaged,
                )
        finally:
            self.stop()
            thread.join(JOIN)

    def stop(self) -> None:
        """End the frames soon, from any thread or a signal's handler, even while a frame is waited for."""
        self._mailbox.close()
        if (camera := self._camera) is not None:
            camera.interrupt()

    def _capture(self) -> None:
        """The thread: connections, one after the other, until the source is stopped."""
        error: BaseException | None = None
        pauses = delays()
        lost: float | None = None  # when the outage began
        try:
            while not self._mailbox.is_closed():
                before = self._count
                reason = self._stream(lost)
                if self._mailbox.is_closed():
                    break
                if self._count == 0:
                    raise reason or StreamError(f"{self.name} ended without a frame; is its address right?")
                if not self._reconnect:
                    if reason is not None:
                        raise reason
                    break
                if self._count > before or lost is None:
                    lost = time.monotonic()
                    pauses = delays()
                    self.outages += 1
                    logger.warning("%s is lost, trying again: %s", self.name, reason or "the stream ended")
                self._mailbox.wait_closed(next(pauses))
        except BaseException as caught:
            error = caught
        self._mailbox.finish(error)

    def _stream(self, lost: float | None) -> StreamError | None:
        """One connection from its opening to its end; the error that ended it, None for a regular end."""
        camera: Camera | None = None
        try:
            camera = self._camera = self._connect()
            while not self._mailbox.is_closed() and (shot := camera.read()) is not None:
                self._mailbox.put(Taken(self._count, time.monotonic(), shot))
                self._count += 1
                if lost is not None:
                    logger.warning("%s is back after %.1f s", self.name, time.monotonic() - lost)
                    lost = None
        except StreamError as error:
            return error
        finally:
            self._camera = None
            if camera is not None:
                camera.close()
        return None

"""The slot between the run, which leaves each result in it, and the viewers, who ask for the newest."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading

from coke_edge.stream.frame import Result
from coke_edge.stream.sinks import Painter
from coke_edge.stream.web.message import encode


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """A result and its place in what this sink was given."""

    sequence: int  # 1, 2, …
    result: Result


class Newest:
    """One result and its message to viewers, which is made when the first viewer asks for it and only then."""

    def __init__(self, paint: Painter) -> None:
        self._paint = paint
        self._entry: Entry | None = None
        self._message: tuple[int, bytes] = (0, b"")
        self._encoding = asyncio.Lock()
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = threading.Event()  # the viewers' thread is told of a change, and has not looked yet
        self.ended = False

    def put(self, result: Result) -> None:
        """Take the place of the result before, from any thread and at once."""
        self._entry = Entry(self._entry.sequence + 1 if self._entry else 1, result)
        self._tell()

    def end(self) -> None:
        """There will be no more; whoever waits is answered."""
        self.ended = True
        self._tell()

    def _tell(self) -> None:
        if self._loop is not None and not self._told.is_set():
            self._told.set()
            with contextlib.suppress(RuntimeError):  # the server has ended, and nobody waits
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._told.clear()
        self._changed.set()
        self._changed = asyncio.Event()

    async def after(self, shown: str, patience: float) -> bytes | None:
        """The message of the newest result, once its sequence number is another than the viewer's, as it was sent.

        None if there is none after `patience` seconds, or if the run has ended.
        """
        self._loop = asyncio.get_running_loop()
        deadline = self._loop.time() + patience
        while True:
            changed, entry = self._changed, self._entry  # in this order: what comes between is not missed
            if self.ended:
                return None
            if entry is not None and str(entry.sequence) != shown:
                return await self._encoded()
            try:
                await asyncio.wait_for(changed.wait(), deadline - self._loop.time())
            except asyncio.TimeoutError:
                return None

    async def _encoded(self) -> bytes:
        """The message of the newest result: the first viewer waits for it to be made, others get the same."""
        async with self._encoding:
            entry = self._entry
            assert entry is not None
            if self._message[0] != entry.sequence:
                message = await asyncio.to_thread(encode, entry.result, entry.sequence, self._paint)
                self._message = (entry.sequence, message)
            return self._message[1]

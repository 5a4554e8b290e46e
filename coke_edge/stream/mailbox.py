"""Where a capture thread leaves its newest frame for the detector."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """One slot: a new item takes the place of one that nobody took, which counts as dropped.

    Its lock may be taken again by the thread that holds it, so that a signal's handler can close the box
    whatever the main thread is doing.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._item: Item | None = None
        self._error: BaseException | None = None
        self._dropped = 0
        self._closed = False

    def is_closed(self) -> bool:
        """Whether it takes no more items."""
        return self._closed

    def put(self, item: Item) -> None:
        """Leave an item; a closed box ignores it."""
        with self._changed:
            if self._closed:
                return
            if self._item is not None:
                self._dropped += 1
            self._item = item
            self._changed.notify_all()

    def take(self) -> tuple[Item, int] | None:
        """Wait for the newest item; with it, how many were dropped so far. None once nothing will come.

        Raises what `finish` was given.
        """
        with self._changed:
            while self._item is None and not self._closed:
                self._changed.wait()
            if self._item is not None:
                item, self._item = self._item, None
                return item, self._dropped
            if self._error is not None:
                raise self._error
            return None

    def finish(self, error: BaseException | None = None) -> None:
        """No more items will come; the last one may still be taken, then `error` is raised. Once closed, it is."""
        with self._changed:
            if not self._closed:
                self._closed, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more is wanted, not even what is in the box. Wakes everybody who waits."""
        with self._changed:
            self._closed = True
            self._item = None
            self._changed.notify_all()

    def wait_closed(self, seconds: float) -> bool:
        """Sleep, at most until the box is closed; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, seconds)

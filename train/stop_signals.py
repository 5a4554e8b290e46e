"""SIGINT and SIGTERM while a run goes: a wish to stop, which is heard after the step."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, object], Any]


class StopSignals:
    """Whether the user, or whoever runs the machine, has asked for a stop.

    `patient`: a second signal changes nothing. Launchers of several processes pass on what the terminal has already
    sent to all, and one process that broke off alone would leave the others waiting.
    """

    def __init__(self, patient: bool = False) -> None:
        self.patient = patient
        self.asked = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """The first signal sets `asked`; a second one raises KeyboardInterrupt at once, unless patient."""

        def ask(number: int, frame: object) -> None:
            if self.asked and not self.patient:
                raise KeyboardInterrupt
            self.asked = True

        with handled_by(ask):
            yield

    @contextmanager
    def interrupting(self, allowed: bool = True) -> Iterator[None]:
        """A signal ends the block, which holds nothing that would be lost, and sets `asked`; or only sets it."""

        def interrupt(number: int, frame: object) -> None:
            self.asked = True
            if allowed:
                raise KeyboardInterrupt

        with handled_by(interrupt):
            yield


@contextmanager
def handled_by(handler: Handler) -> Iterator[None]:
    """`handler` for SIGINT and SIGTERM within the block."""
    before = {number: signal.signal(number, handler) for number in STOPS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)

"""Any Python function as a sink."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from coke_edge.stream.frame import Result


class CallbackSink:
    """Calls a function with each result; what it returns is ignored."""

    backlog = 8
    pixels = True

    def __init__(self, function: Callable[[Result], object]) -> None:
        self._function = function
        self.written: list[str] = []

    def __call__(self, result: Result) -> None:
        self._function(result)

    def __enter__(self) -> CallbackSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

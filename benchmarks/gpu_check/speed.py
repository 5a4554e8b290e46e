"""The benchmark of the head, as a section of the check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from coke_edge.benchmarks import head
from coke_edge.benchmarks.gpu_check.rows import MEASURED, SKIPPED, Options, Row, row

CEILINGS = "ceilings"


def rows(options: Options, measured: Iterable[Row] | None = None) -> Iterator[Row]:
    """The rows of `head.on_a_gpu`, which `measured` may stand for."""
    if measured is None:
        if options.small:
            yield row("speed", SKIPPED, reason="nothing is timed in the interpreter")
            return
        measured = head.on_a_gpu()
    for found in measured:
        yield row(found.get("name", CEILINGS), MEASURED, **{k: v for k, v in found.items() if k != "name"})

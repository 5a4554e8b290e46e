"""One section in a process of its own: `python -m …gpu_check.section NAME OPTIONS SECONDS`, rows as JSON lines.

A kernel that leaves its bounds or never ends spoils the GPU for its process only.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator

from coke_edge.benchmarks.gpu_check.rows import CUT, Options, Row, broken, row
from coke_edge.benchmarks.gpu_check.sections import Section, named


def within(
    section: Section, options: Options, seconds: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[Row]:
    """The rows of a section; one that says so comes last if it broke or ran out of time."""
    start = clock()
    try:
        for found in section.rows(options):
            yield found
            if clock() - start > seconds:
                yield row("time", CUT, reason=f"the section ran out of its {seconds:.0f} s")
                return
    except Exception as error:
        import traceback

        traceback.print_exc()
        yield broken("section", error)


def main(name: str, options: str, seconds: str) -> None:
    """Rows go to what was stdout; whatever else is printed goes to stderr, which the check keeps as its log."""
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for found in within(named(name), Options(**json.loads(options)), float(seconds)):
        lines.write(json.dumps(found) + "\n")
        lines.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

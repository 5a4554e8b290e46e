"""What a row is called: by what tells it from the other rows of the same result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from coke_edge.benchmarks.bench.result import Row
from coke_edge.benchmarks.report.quantities import short


def mode(row: Row) -> str:
    """`back to back`, or `paced` with its rate."""
    return row.mode if row.fps_asked is None else f"{row.mode}, {short(row.fps_asked)} fps"


def threads(row: Row) -> str:
    """A number; 0 is the backend's own choice."""
    return str(row.threads) if row.threads else "auto"


def size(row: Row) -> str:
    """Height × width of the network's input."""
    return "×".join(str(side) for side in row.input_size)


def parts(row: Row) -> list[str]:
    """Everything that a row can differ in, as words."""
    return [
        row.model,
        row.backend,
        row.precision,
        size(row),
        f"batch {row.batch}",
        "1 thread" if row.threads == 1 else f"{threads(row)} threads",
        mode(row),
    ]


def labels(rows: Sequence[Row]) -> list[str]:
    """One for each row, no two alike."""
    columns = list(zip(*(parts(row) for row in rows), strict=True))
    differ = [len(set(column)) > 1 for column in columns]
    if sum(differ) < 2:  # a word alone says little
        differ = [d or i in (2, 6) for i, d in enumerate(differ)]
    names = [" · ".join(p for p, d in zip(parts(row), differ, strict=True) if d) for row in rows]
    seen: Counter[str] = Counter()
    for i, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[i] = f"{name} ({seen[name]})"
    return names

"""Results of the head's benchmark as markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from coke_edge.benchmarks.verdict import Verdict

Row = Mapping[str, Any]


def speed_table(rows: Sequence[Row]) -> str:
    """Median milliseconds by size and form, with the floor beside them where it is known."""
    names = list(dict.fromkeys(name for row in rows for name in row["forms"]))
    floors = any("floor_ms" in row for row in rows)
    titles = ["size", *names, *(["roofline", "floor"] if floors else [])]
    lines = []
    for row in rows:
        cells = [row["name"], *(time_cell(row["forms"].get(name, {})) for name in names)]
        if floors:
            cells += [milliseconds(row.get("roofline_ms")), milliseconds(row.get("floor_ms"))]
        lines.append(cells)
    return markdown(titles, lines)


def memory_table(rows: Sequence[Row]) -> str:
    """Extra memory at the peak by size and form."""
    names = list(dict.fromkeys(name for row in rows for name in row["forms"]))
    return markdown(
        ["size", *names],
        [[row["name"], *(memory_cell(row["forms"].get(name, {})) for name in names)] for row in rows],
    )


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    """Each target, what was measured, and whether that meets it."""
    lines = [
        [
            v.target,
            f"{v.limit:g}",
            "not measured" if v.value is None else f"{v.value:.3g}",
            str(v.met).lower(),
        ]
        for v in verdicts
    ]
    return markdown(["target", "limit", "measured", "met"], lines)


def time_cell(form: Mapping[str, Any]) -> str:
    if "error" in form:
        return f"failed: {form['error'][:60]}"
    return milliseconds(form.get("median_ms"))


def memory_cell(form: Mapping[str, Any]) -> str:
    extra = form.get("extra_bytes")
    return "–" if extra is None else f"{extra / 1024:,.0f} KiB"


def milliseconds(value: float | None) -> str:
    """Four significant digits, in µs below a millisecond."""
    if value is None:
        return "–"
    return f"{value:.4g} ms" if value >= 1 else f"{1000 * value:.4g} µs"


def markdown(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table; a bar in a cell would end it, so it is escaped."""
    rows = [titles, ["---"] * len(titles), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)

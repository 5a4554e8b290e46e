"""A race against peers in short: who is how fast and how accurate, the fastest peer being the measure."""

from __future__ import annotations

from typing import Any

from coke_edge.benchmarks.bench.result import Result, Row
from coke_edge.benchmarks.peers.table import fastest_peer, is_ours
from coke_edge.benchmarks.report.in_markdown import plain
from coke_edge.benchmarks.report.names import size, threads
from coke_edge.benchmarks.report.quantities import NONE, figure, percent
from coke_edge.benchmarks.table import markdown

TITLES = ("threads", "network", "precision", "input", "p50, ms", "× fastest peer")

Detail = dict[str, dict[str, float]]  # by number of objects, by what counts: percent


def race_table(result: Result) -> str:
    """A line a row, by threads and then the fastest first; ours in bold. Accuracies are all that the run took."""
    details = {id(row): detail(result, row) for row in result.rows}
    columns = list(
        dict.fromkeys((n, what) for found in details.values() for n, by in found.items() for what in by)
    )
    lines = []
    for row in sorted(result.rows, key=lambda row: (row.threads, row.latency_ms.p50)):
        peer = fastest_peer([other for other in result.rows if other.threads == row.threads])
        against = figure(row.latency_ms.p50 / peer.latency_ms.p50) if peer else NONE
        cells = [plain(row.model), plain(row.precision), size(row), figure(row.latency_ms.p50), against]
        found = details[id(row)]
        cells += [percent(found.get(n, {}).get(what)) for n, what in columns]
        lines.append([threads(row), *(f"**{cell}**" if is_ours(row) else cell for cell in cells)])
    return markdown([*TITLES, *(f"{plain(what)}, {n} objects" for n, what in columns)], lines)


def detail(result: Result, row: Row) -> Detail:
    """What `extra` holds of a row's accuracy; else what the row itself has."""
    found: Any = result.extra.get("accuracy", {}).get(f"{row.model}, {row.precision}")
    if found:
        return dict(found)
    return {f"{row.accuracy.objects}": {row.accuracy.measure: row.accuracy.value}} if row.accuracy else {}

"""The result of a race for the console: a table for each number of threads, and what has to be known with it.

"others" is what other processes took meanwhile, in cores; "first" the first result of a fresh process, in ms, and "MiB"
what that process holds then.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from coke_edge.benchmarks.bench.result import Result, Row
from coke_edge.benchmarks.peers.accuracy import ALL, VISIBLE
from coke_edge.benchmarks.sensors.load import OTHERS

DASH = "—"
MIB = 2**20
PARTS = ("warp", "network", "decode")
COLUMNS = (
    "input",
    "p50",
    "p95",
    *PARTS,
    "× fastest peer",
    "PCK visible",
    "PCK all",
    "first",
    "MiB",
    "others",
)


def is_ours(row: Row) -> bool:
    """Whether it is a bundle of ours: files of peers are called by the networks' names."""
    return row.model.endswith(".coke")


def fastest_peer(rows: Sequence[Row]) -> Row | None:
    """The fastest peer that finds something: one without weights is none."""
    peers = [row for row in rows if not is_ours(row) and row.accuracy]
    return min(peers, key=lambda row: row.latency_ms.p50, default=None)


def tables(result: Result) -> list[Table]:
    """One for each number of threads, the fastest row first."""
    found = []
    for threads in sorted({row.threads for row in result.rows}):
        rows = sorted(
            (row for row in result.rows if row.threads == threads), key=lambda row: row.latency_ms.p50
        )
        found.append(table(rows, threads, result))
    return found


def table(rows: Sequence[Row], threads: int, result: Result) -> Table:
    """The rows of one number of threads."""
    drawn = Table(title=f"Frame → keypoints, {threads} thread(s), ms", title_justify="left")
    drawn.add_column("network")
    for name in COLUMNS:
        drawn.add_column(name, justify="right")
    peer = fastest_peer(rows)
    for row in rows:
        height, width = row.input_size
        latency, stages = row.latency_ms, row.stages_ms
        drawn.add_row(
            f"{row.model}, {row.precision}",
            f"{height}×{width}",
            f"{latency.p50:.2f}",
            f"{latency.p95:.2f}",
            *(f"{stages[name]:.2f}" for name in PARTS),
            f"{latency.p50 / peer.latency_ms.p50:.2f}" if peer else DASH,
            *pck(row, result),
            DASH if row.first_result_ms is None else f"{row.first_result_ms:.0f}",
            DASH if row.resident_bytes is None else f"{row.resident_bytes / MIB:.0f}",
            f"{row.sensors[OTHERS].mean:.2f}" if OTHERS in row.sensors else DASH,
            style="bold" if is_ours(row) else None,
        )
    return drawn


def pck(row: Row, result: Result) -> tuple[str, str]:
    """Percent over visible and over all labelled joints."""
    if row.accuracy is None:
        return DASH, DASH
    found = result.extra["accuracy"][f"{row.model}, {row.precision}"][str(row.accuracy.objects)]
    return f"{found[VISIBLE]:.1f}", f"{found[ALL]:.1f}"


def remarks(result: Result) -> list[str]:
    """What has to be known with the figures: every note and every absence, once, and of which networks."""
    every = list(dict.fromkeys(row.model for row in result.rows))
    found: dict[str, list[str]] = {}
    for row in result.rows:
        reasons: dict[str, list[str]] = {}
        for name, reason in row.absent.items():
            reasons.setdefault(reason, []).append(name)
        absences = [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
        for text in (*row.notes, *absences):
            models = found.setdefault(text, [])
            if row.model not in models:
                models.append(row.model)
    return [f"{'all' if models == every else ', '.join(models)}: {text}" for text, models in found.items()]

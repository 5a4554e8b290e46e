"""Verdicts of a comparison as cells of a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from coke_edge.benchmarks.bench.compare import Verdict, percent

HEADER = ["what", "A ms", "B ms", "B / A", "interval", "verdict", "would have shown"]
UNKNOWN = "–"


def row_name(verdict: Verdict) -> str:
    """What the verdict's row was."""
    v = verdict
    pace = f" at {v.fps_asked:g} fps" if v.fps_asked else ""
    return (
        f"{v.model} {v.backend} {v.precision}, batch {v.batch}, {v.threads or 'auto'} threads, {v.mode}{pace}"
    )


def cells(verdict: Verdict) -> list[str]:
    """One line of it, without the row."""
    v = verdict
    medians = [UNKNOWN if ms is None else f"{ms:.3f}" for ms in (v.a_ms, v.b_ms)]
    if v.ratio is None or v.least is None or v.most is None or v.detectable is None:
        return [v.what, *medians, UNKNOWN, UNKNOWN, v.outcome, UNKNOWN]
    interval = f"{percent(v.least)} to {percent(v.most)} %"
    return [v.what, *medians, f"{v.ratio:.3f}", interval, v.outcome, f"{100 * v.detectable:.2g} %"]


def to_json(verdicts: Sequence[Verdict]) -> bytes:
    """One array of objects."""
    return msgspec.json.format(msgspec.json.encode(verdicts), indent=1)

"""The rows of the section "bench" as one result, and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coke_edge.benchmarks.gpu_check.rows import Row
from coke_edge.benchmarks.table import markdown, milliseconds

RUN = "run"  # the row that holds what is the same for all
LATENCIES = ("p50", "p90", "p95", "p99", "max")
STAGES = ("wait", "upload", "warp", "backbone", "head", "download", "other")


def result(found: Sequence[Row]) -> dict[str, Any] | None:
    """A `bench.result.Result` in plain values; None before the section's last row."""
    whole = next((one["result"] for one in found if one["name"] == RUN and "result" in one), None)
    return None if whole is None else {**whole, "rows": [one["row"] for one in found if "row" in one]}


def table(whole: dict[str, Any]) -> str:
    """A line for each row: milliseconds of a call and of its stages, and what the GPU was like meanwhile."""
    titles = ["precision", "batch", "mode", "objects/s", *LATENCIES, *STAGES, "clock", "power", "energy"]
    lines = [
        [
            row["precision"],
            str(row["batch"]),
            row["mode"],
            f"{row['fps']:.0f}",
            *(milliseconds(row["latency_ms"][name]) for name in LATENCIES),
            *(milliseconds(row["stages_ms"].get(name)) for name in STAGES),
            *(sensor(row, name) for name in ("gpu clock", "gpu power")),
            energy(row),
        ]
        for row in whole["rows"]
    ]
    return markdown(titles, lines)


def sensor(row: dict[str, Any], name: str) -> str:
    """The mean of a reading; empty if it is absent."""
    reading = row["sensors"].get(name)
    return f"{reading['mean']:.0f} {reading['unit']}" if reading else ""


def energy(row: dict[str, Any]) -> str:
    """Of a call; empty if it is absent."""
    reading = row["sensors"].get("gpu energy")
    return f"{1e3 * reading['mean']:.3g} mJ" if reading else ""

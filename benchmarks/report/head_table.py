"""The table that says it all: one line a row, accuracy and latency of the same artefact side by side."""

from __future__ import annotations

from collections.abc import Sequence

from coke_edge.benchmarks.bench.result import Row
from coke_edge.benchmarks.report.markup import Content, Markup, element, joined, section, table
from coke_edge.benchmarks.report.names import mode, size, threads
from coke_edge.benchmarks.report.quantities import NONE, figure, memory, milliseconds, percent
from coke_edge.benchmarks.report.scatter import described
from coke_edge.benchmarks.report.steadiness import of_row

TITLES = (
    "#", "model", "backend", "precision", "batch", "threads", "mode", "p50", "p90", "p95", "p99", "max",
    "jitter", "FPS", "accuracy", "first result", "memory", "state",
)  # fmt: skip


def head_section(rows: Sequence[Row]) -> Markup:
    """The table with what its columns mean."""
    measures = dict.fromkeys(described(row.accuracy) for row in rows if row.accuracy)
    marks = {name: "" if len(measures) == 1 else f" ({chr(97 + i % 26)})" for i, name in enumerate(measures)}
    slowest = max((row.latency_ms.p50 for row in rows), default=0.0)
    lines = [line(number, row, marks, slowest) for number, row in enumerate(rows, 1)]
    titles = list(TITLES)
    if any(row.gpu_bytes is not None for row in rows):
        titles.append("GPU memory")
        lines = [[*cells, memory(row.gpu_bytes)] for cells, row in zip(lines, rows, strict=True)]
    notes = [f"Accuracy{mark}: {name}." for name, mark in marks.items()]
    paced = any(row.mode == "paced" for row in rows)
    return section(
        "rows",
        "What was measured",
        table("Latency of one call in ms, rate, accuracy and memory", titles, lines, "head"),
        element(
            "p",
            "Latencies are of one call, in milliseconds, over the calls after the warm-up. Jitter is the mean "
            "difference of one call from the next. FPS counts objects per second. First result: a cold process, from "
            "its start to its first keypoints. A dash stands for what was not measured. "
            + ("Paced: frames come at the given rate, as from a camera. " if paced else "")
            + " ".join(notes),
            class_="soft",
        ),
        row_notes(rows),
    )


def line(number: int, row: Row, marks: dict[str, str], slowest: float) -> list[Content]:
    """One row of the result."""
    latency = row.latency_ms
    share = 100 * latency.p50 / slowest if slowest > 0 else 0.0
    late = None if row.late_frames is None else element("small", f"{row.late_frames:,} late")
    accuracy: Content = NONE
    if row.accuracy:
        accuracy = percent(row.accuracy.value) + marks[described(row.accuracy)]
    verdict = of_row(row)
    return [
        element("span", f"{number}", class_="number"),
        joined([element("span", row.model, class_="model"), element("small", row.sha256[:12], class_="sha")]),
        joined([element("span", row.backend), element("small", size(row))]),
        row.precision,
        f"{row.batch:,}",
        threads(row),
        joined([element("span", mode(row)), late]),
        element("span", figure(latency.p50), class_="share", style=f"--share:{share:.1f}%"),
        *(figure(value) for value in (latency.p90, latency.p95, latency.p99, latency.max, latency.jitter)),
        figure(row.fps),
        accuracy,
        milliseconds(row.first_result_ms),
        memory(row.resident_bytes),
        element("span", verdict.word, class_=f"state {verdict.tone}"),
    ]


def row_notes(rows: Sequence[Row]) -> Markup | None:
    """What was written down beside a row; None if nothing was."""
    found: dict[str, list[int]] = {}
    for number, row in enumerate(rows, 1):
        for note in row.notes:
            found.setdefault(note, []).append(number)
    if not found:
        return None
    lines = []
    for note, where in found.items():
        numbers = (element("span", f"{number}", class_="number") for number in where)
        lines.append(element("li", element("span", *numbers), element("span", note)))
    return element("ul", *lines, class_="notes")

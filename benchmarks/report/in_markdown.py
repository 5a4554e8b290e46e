"""A result as a part of docs/benchmarks.md: tables, and what is needed to make them again."""

from __future__ import annotations

import re
from collections.abc import Sequence

from coke_edge.benchmarks.bench.result import Machine, Result, Row
from coke_edge.benchmarks.report.markup import CONTROLS
from coke_edge.benchmarks.report.names import labels, mode, size, threads
from coke_edge.benchmarks.report.protocol import machine_words, protocol_words
from coke_edge.benchmarks.report.quantities import figure, memory, milliseconds, percent
from coke_edge.benchmarks.report.scatter import described
from coke_edge.benchmarks.report.sensor_strips import absent
from coke_edge.benchmarks.report.stage_bars import stages_of
from coke_edge.benchmarks.report.steadiness import of_all, of_row
from coke_edge.benchmarks.table import markdown

TITLES = (
    "#", "model", "backend", "precision", "input", "batch", "threads", "mode", "p50", "p90", "p95", "p99", "max",
    "jitter", "FPS", "accuracy", "first result", "memory", "GPU memory", "state",
)  # fmt: skip
UNITS = "Times of one call in ms."


def heading(machine: Machine) -> str:
    """The machine in a few words."""
    processor = f"{plain(machine.processor)}{' with VNNI' if machine.vnni else ''}, {machine.cores} cores"
    return f"{plain(machine.gpu)}, with {processor}" if machine.gpu else processor


def result_part(result: Result, link: str) -> str:
    """Everything about one result but its machine. `link` is a markdown link to the file."""
    about = [f"{link}, taken {plain(result.taken)}.", plain(of_all(result.rows).sentence), UNITS]
    parts = [
        " ".join([*about, *accuracies(result.rows)]),
        row_table(result.rows),
        *notes(result.rows),
        "To reproduce each row of this table:",
        fenced(result.command),
        "Mean of each stage, ms:" if stages_of(result.rows) else "",
        stage_table(result.rows),
        sensor_table(result.rows),
        "<details><summary>How it was measured, what is absent and why, versions</summary>",
        "\n".join(f"* {name}: {plain(str(words))}" for name, words in protocol_words(result.protocol)),
        absences(result.rows),
        f"Versions: {', '.join(f'{plain(k)} {plain(v)}' for k, v in sorted(result.versions.items()))}.",
        "</details>",
    ]
    return "\n\n".join(part for part in parts if part)


def machine_part(machine: Machine) -> str:
    """What is known of a machine, in one paragraph."""
    return "; ".join(f"{name}: {plain(words)}" for name, words in machine_words(machine)) + "."


def row_table(rows: Sequence[Row]) -> str:
    """One line a row, its accuracy beside its latency; columns that are empty throughout are left out."""
    measures = marks(rows)
    lines = []
    for number, row in enumerate(rows, 1):
        latency = row.latency_ms
        accuracy = "–"
        if row.accuracy:
            accuracy = percent(row.accuracy.value) + measures[described(row.accuracy)]
        late = "" if row.late_frames is None else f" ({row.late_frames:,} late)"
        lines.append(
            [
                f"{number}",
                plain(row.model),
                plain(row.backend),
                plain(row.precision),
                size(row),
                f"{row.batch:,}",
                threads(row),
                mode(row) + late,
                f"**{figure(latency.p50)}**",
                *(figure(v) for v in (latency.p90, latency.p95, latency.p99, latency.max, latency.jitter)),
                figure(row.fps),
                accuracy,
                milliseconds(row.first_result_ms),
                memory(row.resident_bytes),
                memory(row.gpu_bytes),
                of_row(row).word,
            ]
        )
    kept = [i for i in range(len(TITLES)) if any(cells[i] != "–" for cells in lines)]
    return markdown([TITLES[i] for i in kept], [[cells[i] for i in kept] for cells in lines])


def marks(rows: Sequence[Row]) -> dict[str, str]:
    """A letter for each way in which accuracy was measured, none if there is but one."""
    measures = dict.fromkeys(described(row.accuracy) for row in rows if row.accuracy)
    if len(measures) == 1:
        return dict.fromkeys(measures, "")
    return {name: f" ({chr(97 + i % 26)})" for i, name in enumerate(measures)}


def accuracies(rows: Sequence[Row]) -> list[str]:
    """What stands in the column of accuracies, in sentences."""
    return [f"Accuracy{mark}: {plain(name)}." for name, mark in marks(rows).items()]


def stage_table(rows: Sequence[Row]) -> str:
    """Stages by row, beside their sum and the whole; empty if none were measured."""
    names = stages_of(rows)
    if not names:
        return ""
    lines = [
        [
            f"{number} {plain(label)}",
            *(figure(row.stages_ms.get(name)) for name in names),
            figure(sum(row.stages_ms.values())) if row.stages_ms else "–",
            figure(row.latency_ms.mean),
        ]
        for number, (row, label) in enumerate(zip(rows, labels(rows), strict=True), 1)
    ]
    return markdown(["row", *(plain(name) for name in names), "sum", "whole"], lines)


def sensor_table(rows: Sequence[Row]) -> str:
    """Means by row and sensor, least and most in brackets; empty if no sensor was read."""
    units = {name: reading.unit for row in rows for name, reading in row.sensors.items()}
    if not units:
        return ""
    lines = [
        [f"{number} {plain(label)}", *(spread(row, name) for name in units)]
        for number, (row, label) in enumerate(zip(rows, labels(rows), strict=True), 1)
    ]
    return markdown(["row", *(f"{plain(name)}, {plain(unit)}" for name, unit in units.items())], lines)


def spread(row: Row, sensor: str) -> str:
    reading = row.sensors.get(sensor)
    if reading is None:
        return "–"
    return f"{figure(reading.mean)} ({figure(reading.least)} … {figure(reading.most)})"


def absences(rows: Sequence[Row]) -> str:
    """What could not be read, and why; empty if everything could."""
    found = [
        f"* Absent{'' if where == 'all' else f' in row {where}'}: {plain(what)} ({plain(why)})"
        for what, why, where in absent(rows)
    ]
    return "\n".join(found)


def notes(rows: Sequence[Row]) -> list[str]:
    """Each note once, with the rows that it is of."""
    found: dict[str, list[str]] = {}
    for number, row in enumerate(rows, 1):
        for note in row.notes:
            found.setdefault(note, []).append(f"{number}")
    lines = [f"* {named(where, len(rows))}: {plain(note)}" for note, where in found.items()]
    return ["\n".join(lines)] if lines else []


def named(numbers: Sequence[str], every: int) -> str:
    """`Row 1`, `Rows 1, 3`, or `All rows`."""
    if len(numbers) == every > 1:
        return "All rows"
    return f"Row{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def plain(text: str) -> str:
    """Text that markdown shows as it is, on one line. Bars are left to the table."""
    one = " ".join(CONTROLS.sub("\ufffd", text).split())
    escaped = re.sub(r"([\\`*_\[\]~$#])", r"\\\1", one)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fenced(code: str) -> str:
    """A block of code, whatever is in it."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{CONTROLS.sub('', code)}\n{fence}"

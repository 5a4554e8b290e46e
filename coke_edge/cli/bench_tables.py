"""What `coke-edge bench` measured, in tables and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coke_edge.cli.next_step import say
from coke_edge.cli.tables import cell

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from coke_edge.benchmarks.bench.compare import Verdict
    from coke_edge.benchmarks.bench.result import Result

MIB = 2**20
UNKNOWN = "–"
SENSORS = (
    "cores taken by others",
    "cpu clock",
    "cpu temperature",
    "gpu clock",
    "gpu temperature",
    "cpu energy",
    "gpu energy",
    "board energy",
)


def show(console: Console, result: Result) -> None:
    """The figures, the stages, what was timed, and all that is odd."""
    for table in (row_table(result), latency_table(result), stage_table(result), resource_table(result)):
        console.print(table)
        console.print()
    machine = result.machine
    where = [machine.processor, f"{machine.cores} cores", machine.gpu, machine.power_mode, machine.governor]
    say(console, f"Machine: {', '.join(text for text in where if text)}.")
    say(console, f"Timed: {result.protocol.region}.")
    for sentence in dict.fromkeys(note for row in result.rows for note in row.notes):
        numbers = [str(i) for i, row in enumerate(result.rows, 1) if sentence in row.notes]
        say(console, f"Row{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}: {sentence}.")
    absent = {f"{name} ({reason})" for row in result.rows for name, reason in row.absent.items()}
    if absent:
        say(console, f"Not measured: {'; '.join(sorted(absent))}.")


def open_table(title: str, caption: str | None = None, left: tuple[str, ...] = ("row",)) -> Table:
    """A table narrow enough for a terminal; columns `left` are words, others will be numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=escape(title),
        caption=caption,
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        title_justify="left",
        caption_justify="left",
    )
    for column in left:
        table.add_column(column, no_wrap=True)
    return table


def row_table(result: Result) -> Table:
    """What the rows are, and what came of each in one figure or two."""
    from rich.markup import escape

    first, steady = result.rows[0], all(row.warm_up["steady"] for row in result.rows)
    table = open_table(
        f"{first.model}, input {first.input_size[1]} × {first.input_size[0]}",
        None if steady else "* never became steady: distrust its figures",
        ("row", "on", "mode"),
    )
    for column in ("batch", "threads", "objects/s", "late", "accuracy %"):
        table.add_column(column, justify="right")
    for i, row in enumerate(result.rows, 1):
        cells = [
            f"{i}{'' if row.warm_up['steady'] else ' *'}",
            f"{row.backend} {row.precision}",
            row.mode if row.fps_asked is None else f"{row.mode}, {row.fps_asked:g}/s",
            str(row.batch),
            str(row.threads or "auto"),
            cell(row.fps, 1),
            UNKNOWN if row.late_frames is None else str(row.late_frames),
            UNKNOWN if row.accuracy is None else cell(row.accuracy.value, 1),
        ]
        table.add_row(*map(escape, cells), style=None if row.warm_up["steady"] else "yellow")
    return table


def latency_table(result: Result) -> Table:
    """How long a call takes."""
    table = open_table("Latency in milliseconds")
    for column in ("p50", "p90", "p95", "p99", "max", "mean", "jitter", "calls", "first result"):
        table.add_column(column, justify="right")
    for i, row in enumerate(result.rows, 1):
        latency = row.latency_ms
        times = (
            latency.p50,
            latency.p90,
            latency.p95,
            latency.p99,
            latency.max,
            latency.mean,
            latency.jitter,
        )
        first = UNKNOWN if row.first_result_ms is None else cell(row.first_result_ms, 0)
        table.add_row(str(i), *(cell(value, 2) for value in times), str(len(row.samples_ms)), first)
    return table


def resource_table(result: Result) -> Table:
    """Memory of a fresh process, and what the sensors saw: their means."""
    seen = [name for name in SENSORS if any(name in row.sensors for row in result.rows)]
    units = {name: row.sensors[name].unit for row in result.rows for name in seen if name in row.sensors}
    measures = {row.accuracy.measure for row in result.rows if row.accuracy}
    table = open_table("Memory and sensors", f"Accuracy: {'; '.join(sorted(measures))}" if measures else None)
    headers = [name if units[name] in name else f"{name}, {units[name]}" for name in seen]
    for column in ("resident MiB", "peak MiB", "GPU MiB", *headers):
        table.add_column(column, justify="right")
    for i, row in enumerate(result.rows, 1):
        table.add_row(
            str(i),
            *(mebibytes(size) for size in (row.resident_bytes, row.peak_bytes, row.gpu_bytes)),
            *(f"{row.sensors[name].mean:.4g}" if name in row.sensors else UNKNOWN for name in seen),
        )
    return table


def mebibytes(size: int | None) -> str:
    """A size, or a dash if it is not known."""
    return UNKNOWN if size is None else f"{size / MIB:.0f}"


def stage_table(result: Result) -> Table:
    """The mean of each stage, whose sum is the mean of the whole; drawing stands beside it."""
    from typing import get_args

    from coke_edge.benchmarks.bench.result import Stage

    there = {name for row in result.rows for name in row.stages_ms}
    stages = [name for name in get_args(Stage) if name in there]
    table = open_table("Stages: means in milliseconds, adding up to the whole; draw is beside")
    for column in (*stages, "whole", "(draw)"):
        table.add_column(column, justify="right")
    for i, row in enumerate(result.rows, 1):
        values = [row.stages_ms.get(name) for name in stages]
        values += [row.latency_ms.mean, row.outside_ms.get("draw")]
        table.add_row(str(i), *(UNKNOWN if value is None else cell(value, 2) for value in values))
    return table


def show_verdicts(console: Console, verdicts: list[Verdict]) -> None:
    """A table for each pair of rows, and a sentence for every difference that was found."""
    from itertools import groupby

    from rich.markup import escape

    from coke_edge.benchmarks.bench.verdicts import HEADER, cells, row_name

    for name, rows in groupby(verdicts, key=row_name):
        group = list(rows)
        table = open_table(f"B against A: {name}", left=())
        for column in HEADER:
            table.add_column(escape(column))
        for verdict in group:
            table.add_row(*map(escape, cells(verdict)))
        console.print(table)
        for note in dict.fromkeys(note for verdict in group for note in verdict.notes):
            say(console, f"Mind: {note}.")
        console.print()
    for verdict in verdicts:
        if verdict.outcome != "equal":
            say(console, verdict.sentence)

"""`report.html`: one result as one file, which asks for nothing from anywhere and runs no script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from coke_edge.benchmarks.bench.result import Result, Row
from coke_edge.benchmarks.report.head_table import head_section
from coke_edge.benchmarks.report.histogram import histogram
from coke_edge.benchmarks.report.markup import Content, Markup, element, joined, section
from coke_edge.benchmarks.report.names import labels
from coke_edge.benchmarks.report.protocol import extra_section, machine_section, protocol_section
from coke_edge.benchmarks.report.quantities import figure, milliseconds, percent, short
from coke_edge.benchmarks.report.scatter import scatter_section
from coke_edge.benchmarks.report.sensor_strips import sensor_section
from coke_edge.benchmarks.report.stage_bars import stage_section
from coke_edge.benchmarks.report.steadiness import of_all
from coke_edge.benchmarks.report.timeline import timeline
from coke_edge.files import replacing

NAME = "report.html"
TITLES = {"bench": "Benchmark", "peers": "Benchmark against peers"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write_report(result: Result, folder: Path) -> Path:
    """Write `report.html` into `folder`, whole or not at all; the same result gives the same bytes.

    Raises CokeError if the folder cannot be written.
    """
    path = folder / NAME
    with replacing(path) as file:
        file.write(page(result).encode())
    return path


def page(result: Result) -> str:
    """The whole page."""
    title = TITLES[result.kind]
    style = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"/>'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Markup('<meta name="color-scheme" content="light dark"/>'),
        element("title", f"{title} · {place(result)} · coke-edge"),
        element("style", Markup(style)),
    )
    names = labels(result.rows)
    parts = [
        tiles(result.rows),
        head_section(result.rows),
        scatter_section(result.rows, names),
        stage_section(result.rows, names) if result.rows else None,
        call_section(result.rows, names),
        sensor_section(result.rows, names),
        element("div", protocol_section(result), machine_section(result), class_="two"),
        extra_section(result),
    ]
    body = element("body", header(result, title), element("main", *parts))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def place(result: Result) -> str:
    """What a reader calls the machine."""
    return result.machine.gpu or result.machine.processor


def header(result: Result, title: str) -> Markup:
    """Title, machine, date, and whether all of it can be believed."""
    verdict = of_all(result.rows)
    return element(
        "header",
        element("h1", title),
        element("p", f"{place(result)} · {result.taken}", class_="soft"),
        element(
            "p",
            element("span", verdict.word, class_=f"state {verdict.tone}"),
            " ",
            verdict.sentence,
            class_="verdict",
        ),
    )


def tiles(rows: Sequence[Row]) -> Markup | None:
    """The best of each kind, with the row that has it; None if there is no row."""
    if not rows:
        return None
    numbered = list(enumerate(rows, 1))
    n, fast = min(numbered, key=lambda item: item[1].latency_ms.p50)
    found = [("Fastest call (p50)", milliseconds(fast.latency_ms.p50), n)]
    n, rate = max(numbered, key=lambda item: item[1].fps)
    found.append(("Most objects per second", figure(rate.fps), n))
    if accurate := [(n, row.accuracy) for n, row in numbered if row.accuracy]:
        n, accuracy = max(accurate, key=lambda item: item[1].value)
        found.append(("Most accurate", percent(accuracy.value), n))
    if cold := [(n, row.first_result_ms) for n, row in numbered if row.first_result_ms is not None]:
        n, first = min(cold, key=lambda item: item[1])
        found.append(("First result, cold", milliseconds(first), n))
    return element("dl", *(tile(*words) for words in found), class_="tiles")


def tile(name: str, value: str, number: int) -> Markup:
    small = element("small", f"row {number}")
    return element("div", element("dt", name), element("dd", element("b", value), " ", small))


def call_section(rows: Sequence[Row], names: Sequence[str]) -> Markup | None:
    """Histogram and time line of each row."""
    if not rows:
        return None
    legend = element(
        "ul",
        *(element("li", element("i", class_=f"line {key}"), key) for key in ("p50", "p95", "p99")),
        element("li", element("i", class_="early-key"), "warm-up, not counted")
        if any(row.warm_up_ms for row in rows)
        else None,
        class_="legend",
    )
    cards = [
        joined(calls(number, row, name))
        for number, (row, name) in enumerate(zip(rows, names, strict=True), 1)
    ]
    return section(
        "calls",
        "Every call",
        element(
            "p", "First how many calls took how long, then each of them in its order. Scales differ by row."
        ),
        legend,
        *cards,
    )


def calls(number: int, row: Row, name: str) -> Iterator[Content]:
    """One row's heading and its two plots."""
    words = element("small", warm_up(row))
    yield element("h3", element("span", f"{number}", class_="number"), " ", name, " ", words)
    if not row.samples_ms:
        yield element("p", "The samples of this row were not kept.", class_="soft")
        return
    plots = (
        histogram(f"histogram-{number}", name, row.samples_ms, row.latency_ms),
        timeline(f"timeline-{number}", name, row),
    )
    yield element("div", *plots, class_="plots")


def warm_up(row: Row) -> str:
    """How many calls the figures are of, and what came before them."""
    words = f"{len(row.samples_ms):,} calls"
    made, seconds = row.warm_up.get("calls"), row.warm_up.get("seconds")
    if made is None and seconds is None:
        return words
    parts = [
        f"{made:,.0f} calls" if made is not None else None,
        f"{short(seconds)} s" if seconds is not None else None,
    ]
    return f"{words} after a warm-up of {', '.join(part for part in parts if part)}"

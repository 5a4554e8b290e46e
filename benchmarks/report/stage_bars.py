"""Where the time of a call goes: the stages of each row, end to end, on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from coke_edge.benchmarks.bench.result import Row, Stage
from coke_edge.benchmarks.report.markup import Content, Markup, element, section, table
from coke_edge.benchmarks.report.quantities import NONE, figure, milliseconds, percent

STAGES: tuple[str, ...] = get_args(Stage)
SUM_WITHIN = 0.03  # of the whole; a larger difference is said


def stages_of(rows: Sequence[Row]) -> list[str]:
    """All that occur, in the order of a frame's way; names that are not known come before "other"."""
    found = dict.fromkeys(name for row in rows for name in row.stages_ms)
    known = [name for name in STAGES if name in found and name != "other"]
    return [*known, *(n for n in found if n not in STAGES), *(["other"] if "other" in found else [])]


def stage_section(rows: Sequence[Row], labels: Sequence[str]) -> Markup | None:
    """Bars and table; None if no row has stages."""
    names = stages_of(rows)
    if not names:
        return None
    longest = max(max(row.latency_ms.mean, sum(row.stages_ms.values())) for row in rows)
    legend = element(
        "ul", *(element("li", element("i", class_=key(name)), name) for name in names), class_="legend"
    )
    bars = [
        bar(i, row, label, names, longest) for i, (row, label) in enumerate(zip(rows, labels, strict=True), 1)
    ]
    return section(
        "stages",
        "Where the time goes",
        element(
            "p",
            "Mean of each stage over the calls after the warm-up. A bar is as long as the mean of a whole call; "
            "“other” is what lies between the stages.",
        ),
        legend,
        element("ol", *bars, class_="rows"),
        stage_table(rows, labels, names),
    )


def bar(number: int, row: Row, label: str, names: Sequence[str], longest: float) -> Markup:
    """One row: its name, its whole, and the pieces in their order."""
    pieces, at = [], 0.0
    for name in names:
        if (value := row.stages_ms.get(name, 0.0)) > 0:
            wide = 1000 * value / longest
            tip = element("title", f"{name} {milliseconds(value)}")
            pieces.append(element("rect", tip, x=at, y=0.0, width=wide, height=10.0, class_=key(name)))
            at += wide
    says = ", ".join(f"{name} {milliseconds(row.stages_ms[name])}" for name in names if name in row.stages_ms)
    drawing = element(
        "svg",
        *pieces,
        viewBox="0 0 1000 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"Stages of {label}: {says or 'not measured'}",
        class_="bar",
    )
    whole = element("b", milliseconds(row.latency_ms.mean))
    words = element("p", element("span", f"{number}", class_="number"), element("span", label), whole)
    return element(
        "li", words, drawing if pieces else element("p", "No stages were measured.", class_="soft")
    )


def stage_table(rows: Sequence[Row], labels: Sequence[str], names: Sequence[str]) -> Markup:
    """Milliseconds by row and stage, and how nearly they add up."""
    outside = list(dict.fromkeys(name for row in rows for name in row.outside_ms))
    lines: list[list[Content]] = []
    for number, (row, label) in enumerate(zip(rows, labels, strict=True), 1):
        total = sum(row.stages_ms.values())
        lines.append(
            [
                numbered(number, label),
                *(figure(row.stages_ms.get(name)) for name in names),
                figure(total) if row.stages_ms else NONE,
                figure(row.latency_ms.mean),
                difference(total, row.latency_ms.mean) if row.stages_ms else NONE,
                *(figure(row.outside_ms.get(name)) for name in outside),
            ]
        )
    titles = [
        "row",
        *names,
        "sum",
        "whole",
        "sum − whole",
        *(f"{name} (not in the whole)" for name in outside),
    ]
    return table("Mean of each stage, ms", titles, lines)


def difference(total: float, whole: float) -> Content:
    """In percent of the whole, in another colour from `SUM_WITHIN` on."""
    off = 100 * (total - whole) / whole if whole else 0.0
    words = percent(off + 0.0).replace("-", "\u2212")
    words = "0.0\u00a0%" if words == "\u22120.0\u00a0%" else words
    return element("span", words, class_="warn") if abs(off) > 100 * SUM_WITHIN else words


def numbered(number: int, label: str) -> Markup:
    """A row's name behind its number."""
    return element("span", element("span", f"{number}", class_="number"), " ", label, class_="row-name")


def key(name: str) -> str:
    """The class that colours a stage."""
    return f"stage {name}" if name in STAGES else "stage unknown"

"""What the sensors said while a row was measured, and why those that did not speak were silent."""

from __future__ import annotations

from collections.abc import Sequence

from coke_edge.benchmarks.bench.result import Reading, Row
from coke_edge.benchmarks.report.markup import Content, Markup, element, section, table
from coke_edge.benchmarks.report.quantities import figure, with_unit
from coke_edge.benchmarks.report.stage_bars import numbered

Read = tuple[int, str, Reading]  # number and label of the row, what was read


def sensor_section(rows: Sequence[Row], labels: Sequence[str]) -> Markup:
    """A strip for each sensor, a table, and what is absent."""
    sensors = dict.fromkeys(name for row in rows for name in row.sensors)
    parts: list[Content] = []
    if sensors:
        strips = [
            strip(
                name,
                [
                    (n, label, row.sensors[name])
                    for n, row, label in numbers(rows, labels)
                    if name in row.sensors
                ],
            )
            for name in sensors
        ]
        parts += [
            element("div", *strips, class_="strips"),
            element("details", element("summary", "All readings"), reading_table(rows, labels)),
        ]
    else:
        parts.append(element("p", "No sensor of this machine could be read."))
    if reasons := absent(rows):
        lines: list[list[Content]] = [[what, why, which] for what, why, which in reasons]
        parts.append(table("Absent, and why", ["what", "why", "rows"], lines))
    return section("sensors", "Clocks, temperature, power", *parts)


def numbers(rows: Sequence[Row], labels: Sequence[str]) -> list[tuple[int, Row, str]]:
    return [(n, row, label) for n, (row, label) in enumerate(zip(rows, labels, strict=True), 1)]


def strip(name: str, read: Sequence[Read]) -> Markup:
    """One sensor: for each row a line from the least to the largest value with a dot at the mean."""
    low, high = min(r.least for _, _, r in read), max(r.most for _, _, r in read)
    reach = (high - low) or abs(high) or 1.0
    low, high = low - 0.04 * reach, high + 0.04 * reach
    lines = []
    for number, label, reading in read:
        a, mean, b = (1000 * (v - low) / (high - low) for v in (reading.least, reading.mean, reading.most))
        says = (
            f"{name} during {label}: mean {with_unit(reading.mean, reading.unit)}, "
            f"{figure(reading.least)} to {figure(reading.most)}"
        )
        drawing = element(
            "svg",
            element("path", d="M0 5H1000", class_="rail"),
            element("path", d=f"M{a:.1f} 5H{b:.1f}", class_="range"),
            element("path", d=f"M{mean:.1f} 5h0", class_="mean"),
            viewBox="0 0 1000 10",
            preserveAspectRatio="none",
            role="img",
            aria_label=says,
        )
        value = element("span", figure(reading.mean))
        lines.append(element("li", element("span", f"{number}", class_="number"), drawing, value))
    unit = element("small", read[0][2].unit)
    return element("div", element("h3", name, " ", unit), element("ol", *lines), class_="strip")


def reading_table(rows: Sequence[Row], labels: Sequence[str]) -> Markup:
    """Every reading as numbers."""
    lines: list[list[Content]] = [
        [
            numbered(n, label),
            name,
            reading.unit,
            figure(reading.mean),
            figure(reading.least),
            figure(reading.most),
            f"{reading.count:,}",
        ]
        for n, row, label in numbers(rows, labels)
        for name, reading in row.sensors.items()
    ]
    return table("Readings", ["row", "sensor", "unit", "mean", "least", "most", "readings"], lines)


def absent(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """(what, why, in which rows); what has the same reason in the same rows stands together."""
    where: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows, 1):
        for what, why in row.absent.items():
            where.setdefault((what, why), []).append(number)
    found: dict[tuple[str, str], list[str]] = {}
    for (what, why), numbers in where.items():
        which = "all" if len(numbers) == len(rows) else ", ".join(str(number) for number in numbers)
        found.setdefault((why, which), []).append(what)
    return [(", ".join(names), why, which) for (why, which), names in found.items()]

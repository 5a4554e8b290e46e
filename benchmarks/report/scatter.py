"""Accuracy against latency: each row a point, coloured by precision, with the front that no other row beats."""

from __future__ import annotations

import math
from collections.abc import Sequence

from coke_edge.benchmarks.bench.result import Accuracy, Row
from coke_edge.benchmarks.report.axes import LEFT, RIGHT, TOP, Scale, horizontal_axis, picture, vertical_axis
from coke_edge.benchmarks.report.markup import Content, Markup, element, joined, section, table
from coke_edge.benchmarks.report.quantities import count, milliseconds, percent
from coke_edge.benchmarks.report.stage_bars import numbered

HEIGHT, BASE = 260.0, 232.0
LABEL_WIDTH, LABEL_HEIGHT = 15.0, 12.0
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "uint8", "fp8")  # those with a colour of their own
AWAY = ((0, -8), (0, 17), (12, 4), (-12, 4), (12, -8), (-12, -8), (12, 17), (-12, 17), (0, -20), (0, 29))

Point = tuple[int, Row, Accuracy]  # number, row, its accuracy


def scatter_section(rows: Sequence[Row], labels: Sequence[str]) -> Markup | None:
    """A plot for each way in which accuracy was measured; None if it never was."""
    points = [
        (n, row, row.accuracy)
        for n, row in enumerate(rows, 1)
        if row.accuracy and math.isfinite(row.accuracy.value)
    ]
    if not points:
        return None
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(described(point[2]), []).append(point)
    parts = [group_part(i, name, group, labels) for i, (name, group) in enumerate(groups.items(), 1)]
    missing = [n for n in range(1, len(rows) + 1) if all(n != point[0] for point in points)]
    if missing:
        which = ", ".join(f"{n}" for n in missing)
        parts.append(element("p", f"No accuracy was measured for row {which}.", class_="soft"))
    return section("accuracy", "Accuracy and latency of the same artefact", *parts)


def described(accuracy: Accuracy) -> str:
    """The measure with what it was taken on."""
    return f"{accuracy.measure}; {accuracy.dataset}, {accuracy.split}, {count(accuracy.objects, 'object')}"


def group_part(index: int, name: str, points: Sequence[Point], labels: Sequence[str]) -> Markup:
    """Plot, legend and table of the rows whose accuracy was measured alike."""
    precisions = dict.fromkeys(row.precision for _, row, _ in points)
    legend = element(
        "ul",
        *(element("li", element("i", class_=f"dot {colour(p)}"), p) for p in precisions),
        element("li", element("i", class_="front-key"), "no other row is both faster and more accurate"),
        class_="legend",
    )
    front = {number for number, _, _ in best(points)}
    lines: list[list[Content]] = [
        [
            numbered(number, labels[number - 1]),
            row.precision,
            percent(accuracy.value),
            milliseconds(row.latency_ms.p50),
            "yes" if number in front else "no",
        ]
        for number, row, accuracy in points
    ]
    figures = table(
        "Accuracy and median latency", ["row", "precision", "accuracy", "p50", "on the front"], lines
    )
    drawing = element("div", legend, scatter(f"scatter-{index}", name, points), class_="drawn")
    return element("div", drawing, element("div", element("p", name), figures), class_="beside")


def scatter(name: str, measure: str, points: Sequence[Point]) -> Markup:
    """Up and to the left is better. A point has its row's number beside it."""
    values = [accuracy.value for _, _, accuracy in points]
    spread = max(max(values) - min(values), 2.0)
    low, high = max(0.0, min(values) - 0.25 * spread), min(100.0, max(values) + 0.25 * spread)
    across = Scale(0, 1.12 * max(row.latency_ms.p50 for _, row, _ in points), LEFT, RIGHT)
    up = Scale(low, high, BASE, TOP + 4)
    places = {n: (across(row.latency_ms.p50), up(accuracy.value)) for n, row, accuracy in points}
    path = front_path([places[number] for number, _, _ in best(points)])
    drawn: list[Content] = [
        *vertical_axis(up, "%", 5),
        *horizontal_axis(across, BASE, "ms"),
        element("path", d=path, class_="front"),
    ]
    for number, row, accuracy in points:
        x, y = places[number]
        tip = element("title", f"{number}: {percent(accuracy.value)}, {milliseconds(row.latency_ms.p50)}")
        drawn.append(
            element("g", tip, element("circle", cx=x, cy=y, r=4.5, class_=f"point {colour(row.precision)}"))
        )
    drawn.append(joined(numbers(places)))
    says = "; ".join(
        f"row {n}, {row.precision}: {percent(accuracy.value)} in {milliseconds(row.latency_ms.p50)}"
        for n, row, accuracy in points
    )
    return picture(name, f"Accuracy over median latency: {measure}", says, HEIGHT, *drawn)


def numbers(places: dict[int, tuple[float, float]]) -> list[Markup]:
    """Each point's number at the nearest place around it where it hides neither a point nor a number."""
    taken = [(x, y) for x, y in places.values()]
    drawn = []
    for number, (x, y) in places.items():
        tries = [(x + dx, y + dy) for dx, dy in AWAY]
        free = (
            (a, b)
            for a, b in tries
            if LEFT < a < RIGHT - 4
            and all(
                abs(a - c) > LABEL_WIDTH or abs(b - 4 - d) > LABEL_HEIGHT - 1
                for c, d in taken
                if (c, d) != (x, y)
            )
        )
        a, b = next(free, tries[0])
        taken.append((a, b - 4))
        drawn.append(element("text", f"{number}", x=a, y=b, class_="tick middle strong"))
    return drawn


def best(points: Sequence[Point]) -> list[Point]:
    """Those that no other is both at most as slow and at least as accurate as, the fastest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (p[1].latency_ms.p50, -p[2].value)):
        if not found or point[2].value > found[-1][2].value:
            found.append(point)
    return found


def front_path(places: Sequence[tuple[float, float]]) -> str:
    """Steps from the fastest to the most accurate, and on to the right edge."""
    (x, y), *rest = places
    path = f"M{x:.2f} {BASE:g}V{y:.2f}"
    for a, b in rest:
        path += f"H{a:.2f}V{b:.2f}"
    return f"{path}H{RIGHT:g}"


def colour(precision: str) -> str:
    """The class that colours a precision."""
    return precision if precision in PRECISIONS else "other-precision"

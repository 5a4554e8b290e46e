"""Every call in the order in which it was made."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from coke_edge.benchmarks.bench.result import Row
from coke_edge.benchmarks.report.axes import (
    LEFT,
    RIGHT,
    TOP,
    Scale,
    horizontal_axis,
    line,
    picture,
    text,
    vertical_axis,
)
from coke_edge.benchmarks.report.markup import Content, Markup, element
from coke_edge.benchmarks.report.quantities import count, milliseconds

HEIGHT, BASE = 150.0, 124.0
COLUMNS = 348  # one for each unit of the plot's width
DOTS = 174  # as many calls as have room for a dot each
CLIP = 2.5  # × p99: the scale's end, if calls lie beyond


def timeline(name: str, label: str, row: Row) -> Markup:
    """Dots, or from `DOTS` calls on the range of neighbouring calls as upright strokes: none is left out.

    The warm-up is grey, and what lies beyond the scale is a mark on its upper edge.
    """
    samples = [*row.warm_up_ms, *row.samples_ms]
    warm = len(row.warm_up_ms)
    top = min(max(row.samples_ms), CLIP * row.latency_ms.p99)
    across = Scale(0, max(len(samples), 2), LEFT, RIGHT)
    up = Scale(0, 1.06 * top, BASE, TOP)
    drawn: list[Content] = [*vertical_axis(up, "ms"), *horizontal_axis(across, BASE, "calls")]
    if warm:
        edge = across(warm)
        drawn.append(element("rect", x=LEFT, y=TOP, width=edge - LEFT, height=BASE - TOP, class_="warm-up"))
    ends = list(itertools.accumulate(row.slices))[:-1]
    drawn += [line(across(warm + end), BASE - 5, across(warm + end), BASE, "slice") for end in ends]
    drawn += [
        element("path", d=strokes(samples[:warm], 0, across, up, top), class_="calls early")
        if warm
        else None,
        element("path", d=strokes(row.samples_ms, warm, across, up, top), class_="calls"),
    ]
    y = up(row.latency_ms.p50)
    drawn.append(line(LEFT, y, RIGHT, y, "mark p50"))
    drawn += clipped(samples, across, top)
    return picture(name, f"Time line of {label}", words(row), HEIGHT, *drawn)


def strokes(samples: Sequence[float], first: int, across: Scale, up: Scale, top: float) -> str:
    """A path over calls `first`, `first` + 1, …; a dot is a stroke of no length with round ends."""
    path = []
    if across.high <= DOTS:
        for i, value in enumerate(samples):
            path.append(f"M{across(first + i + 0.5):.2f} {up(min(value, top)):.2f}h0")
        return "".join(path)
    columns: dict[int, list[float]] = {}
    for i, value in enumerate(samples):
        columns.setdefault(int((first + i) / across.high * COLUMNS), []).append(min(value, top))
    for column, values in columns.items():
        path.append(f"M{LEFT + column + 0.5:g} {up(min(values)):.2f}V{up(max(values)) - 0.1:.2f}")
    return "".join(path)


def clipped(samples: Sequence[float], across: Scale, top: float) -> list[Markup]:
    """Marks of what is beyond the scale, and how much that is."""
    above = [i for i, value in enumerate(samples) if value > top]
    if not above:
        return []
    columns = dict.fromkeys(round(across(i + 0.5)) for i in above)
    path = "".join(f"M{x - 2.5:g} {TOP:g}h5l-2.5 -4z" for x in columns)
    most = max(samples)
    return [
        element("path", d=path, class_="clipped"),
        text(RIGHT, TOP - 5, f"{len(above):,} above, up to {milliseconds(most)}", "tick end"),
    ]


def words(row: Row) -> str:
    """What the plot shows, to be read aloud."""
    says = (
        f"{count(len(row.samples_ms), 'call')} after the warm-up, median {milliseconds(row.latency_ms.p50)}, "
    )
    says += f"at most {milliseconds(row.latency_ms.max)}."
    if row.warm_up_ms:
        says += f" Before them {count(len(row.warm_up_ms), 'call')} of the warm-up, in grey."
    if len(row.slices) > 1:
        says += f" Measured in {len(row.slices)} slices, in turns with other rows."
    return says

"""How often a call took how long."""

from __future__ import annotations

from collections.abc import Sequence

from coke_edge.benchmarks.bench.result import Latency
from coke_edge.benchmarks.report.axes import LEFT, RIGHT, TOP, Scale, horizontal_axis, line, picture, text
from coke_edge.benchmarks.report.markup import Content, Markup, element
from coke_edge.benchmarks.report.quantities import count, figure, milliseconds

HEIGHT, BASE = 150.0, 124.0
BINS = 58
GAP = 6.0  # before the bin that stands for all beyond the scale
REACH = 1.15  # × p99: where the scale ends, so that one late call does not flatten the rest


def histogram(name: str, row: str, samples: Sequence[float], latency: Latency) -> Markup:
    """Bars over the time of a call, with the percentiles as lines; the last bar holds what is beyond the scale."""
    least, most = min(samples), max(samples)
    end = most if most <= REACH * latency.p99 else REACH * latency.p99
    low = 0.0 if least < 0.3 * end else 0.9 * least
    beyond = sum(value > end for value in samples)
    right = RIGHT - GAP - 10 if beyond else RIGHT
    scale = Scale(low, max(end, low + 1e-9), LEFT, right)
    heights = counts(samples, low, scale.high)
    tallest = max(*heights, beyond, 1)
    rise = (BASE - TOP - 18) / tallest
    wide = (right - LEFT) / BINS
    path = "".join(
        f"M{LEFT + i * wide:.2f} {BASE:g}v{-number * rise:.2f}h{max(wide - 0.8, 0.8):.2f}V{BASE:g}z"
        for i, number in enumerate(heights)
        if number
    )
    drawn: list[Content] = [
        line(LEFT, TOP + 18, LEFT + 4, TOP + 18, "axis"),
        text(LEFT - 5, TOP + 21, f"{tallest:,}", "tick end"),
    ]
    drawn += [
        text(LEFT - 5, TOP + 32, "calls", "tick end"),
        element("path", d=path, class_="bars"),
        *horizontal_axis(scale, BASE, "ms"),
    ]
    if beyond:
        tall = max(beyond * rise, 1.5)
        drawn.append(
            element("rect", x=right + GAP, y=BASE - tall, width=10.0, height=tall, class_="bars beyond")
        )
        drawn.append(text(RIGHT, BASE - tall - 4, f"{beyond:,} above", "tick end"))
    drawn += percentile_lines(scale, latency)
    says = (
        f"{count(len(samples), 'call')} from {milliseconds(least)} to {milliseconds(most)}: half took at most "
        f"{milliseconds(latency.p50)}, 95 in 100 at most {milliseconds(latency.p95)}, "
        f"99 in 100 at most {milliseconds(latency.p99)}."
    )
    return picture(name, f"Histogram of the latency of {row}", says, HEIGHT, *drawn)


def counts(samples: Sequence[float], low: float, high: float) -> list[int]:
    """How many samples each of `BINS` equal pieces of `low` … `high` holds; those beyond are left out."""
    found = [0] * BINS
    for value in samples:
        if value <= high:
            found[min(BINS - 1, max(0, int((value - low) / (high - low) * BINS)))] += 1
    return found


def percentile_lines(scale: Scale, latency: Latency) -> list[Markup]:
    """p50, p95 and p99; a label that would hide the one before moves one line down."""
    drawn, last, level = [], -1e9, 0
    for key, value in (("p50", latency.p50), ("p95", latency.p95), ("p99", latency.p99)):
        if not scale.low <= value <= scale.high:
            continue
        x = scale(value)
        words = f"{key} {figure(value)}"
        level = level + 1 if x - last < 6.2 * len(words) else 0
        last = x
        y = TOP - 3 + 12 * level
        near_end = x > RIGHT - 30
        drawn.append(line(x, y + 3, x, BASE, f"mark {key}"))
        drawn.append(
            text(x + (2 if near_end else 0), y, words, f"tick {'end' if near_end else 'middle'} {key}")
        )
    return drawn

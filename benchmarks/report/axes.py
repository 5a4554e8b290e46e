"""Scales, ticks and frames of the plots: hand-made SVG, which follows the page's colours and the reader's screen.

All plots share a width of 400 units, and what is drawn keeps to them; the page scales them to the screen.
"""

from __future__ import annotations

import dataclasses
import math

from coke_edge.benchmarks.report.markup import Content, Markup, element
from coke_edge.benchmarks.report.quantities import short

WIDTH = 400
LEFT, RIGHT = 44, 392  # of the area for data
TOP = 14


@dataclasses.dataclass(frozen=True)
class Scale:
    """Linear: `low` … `high` of the data to `start` … `end` of the plot."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """At most `most` + 1 round values within the scale."""
        rough = (self.high - self.low) / most
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= rough * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


def picture(name: str, title: str, description: str, height: float, *children: Content) -> Markup:
    """A plot with its text alternative; `name` is unique on the page."""
    return element(
        "svg",
        element("title", title, id=f"{name}-name"),
        element("desc", description, id=f"{name}-says"),
        *children,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_labelledby=f"{name}-name",
        aria_describedby=f"{name}-says",
        class_="plot",
    )


def text(x: float, y: float, words: str, class_: str = "tick") -> Markup:
    return element("text", words, x=x, y=y, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def horizontal_axis(scale: Scale, y: float, unit: str) -> list[Markup]:
    """Numbers below the plot, the unit after the last of them."""
    drawn = [line(scale.start, y, scale.end, y, "axis")]
    values = scale.ticks()
    for value in values:
        words = short(value) + (f" {unit}" if value == values[-1] and unit else "")
        x = scale(value)
        at_end = x > RIGHT - 22 and len(words) > 3
        drawn.append(text(RIGHT if at_end else x, y + 15, words, "tick end" if at_end else "tick middle"))
        drawn.append(line(x, y, x, y + 4, "axis"))
    return drawn


def vertical_axis(scale: Scale, unit: str, most: int = 4) -> list[Markup]:
    """Numbers left of the plot with lines across it, the unit after the highest of them."""
    drawn = []
    values = scale.ticks(most)
    for value in values:
        y = scale(value)
        words = f"{short(value)} {unit}" if value == values[-1] else short(value)
        drawn += [line(LEFT, y, RIGHT, y, "grid"), text(LEFT - 5, y + 3, words, "tick end")]
    return drawn

"""Numbers as text: as many digits as they are worth, a dash where there is none."""

from __future__ import annotations

import math

NONE = "–"


def figure(value: float | None, digits: int = 3) -> str:
    """`digits` significant digits, all of those before the point; thousands are set apart by commas."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")  # 99.96 is 100, not 100.0
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    text = f"{value:,.{decimals}f}"
    return text.replace("-", "\u2212")


def short(value: float | None) -> str:
    """Up to four digits without zeros that say nothing: for what was asked for, and for ticks."""
    words = figure(value, 4)
    return words.rstrip("0").rstrip(".") if "." in words else words


def milliseconds(value: float | None) -> str:
    return with_unit(value, "ms")


def with_unit(value: float | None, unit: str) -> str:
    """A figure and its unit, which a line break does not part."""
    text = figure(value)
    return text if text == NONE else f"{text}\u00a0{unit}"


def percent(value: float | None) -> str:
    """To a tenth, as accuracies are given."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:.1f}\u00a0%"


def memory(size: int | None) -> str:
    """MiB, from one GiB on GiB."""
    if size is None:
        return NONE
    return with_unit(size / 2**30, "GiB") if size >= 2**30 else with_unit(size / 2**20, "MiB")


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"

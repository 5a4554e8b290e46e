"""Figures, names and verdicts as words."""

from __future__ import annotations

import math

import msgspec
import pytest

from coke_edge.benchmarks.report.axes import Scale
from coke_edge.benchmarks.report.markup import Markup, element, escaped
from coke_edge.benchmarks.report.names import labels
from coke_edge.benchmarks.report.quantities import figure, memory, percent, short
from coke_edge.benchmarks.report.scatter import best
from coke_edge.benchmarks.report.sensor_strips import absent
from coke_edge.benchmarks.report.steadiness import of_all, of_row


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (9.5, "9.50"),
        (99.96, "100"),
        (123.4, "123"),
        (12345.6, "12,346"),
        (-2.5, "\u22122.50"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
    ],
)
def test_a_figure_has_three_digits(value: float | None, words: str) -> None:
    assert figure(value) == words


def test_other_quantities() -> None:
    assert short(30.0) == "30"
    assert short(0.25) == "0.25"
    assert short(1000) == "1,000"
    assert percent(80.46) == "80.5\u00a0%"
    assert memory(3 * 2**29) == "1.50\u00a0GiB"
    assert memory(200 * 2**20) == "200\u00a0MiB"
    assert memory(None) == percent(None) == "–"


def test_text_is_escaped_once_and_markup_never() -> None:
    assert escaped("<a> & \x07") == "&lt;a&gt; &amp; \ufffd"
    assert escaped(escaped("<a>")) == "&lt;a&gt;"
    assert element("p", "a<b", Markup("<i></i>"), None, class_='x"y', aria_label="1", style=None) == (
        '<p class="x&quot;y" aria-label="1">a&lt;b<i></i></p>'
    )


def test_a_row_is_called_by_what_tells_it_from_the_others(make_row) -> None:
    rows = [make_row(), make_row(precision="int8"), make_row(precision="int8", threads=1)]
    assert labels(rows) == ["fp32 · 2 threads", "int8 · 2 threads", "int8 · 1 thread"]
    assert labels(rows[:1]) == ["fp32 · back to back"]
    assert labels([rows[0], rows[0]]) == ["fp32 · back to back", "fp32 · back to back (2)"]
    assert labels([]) == []


@pytest.mark.parametrize(
    ("throttled", "steady", "word"),
    [
        (None, 1.0, "steady"),
        (False, 1.0, "steady"),
        (False, 0.0, "not steady"),
        (True, 1.0, "throttled"),
        (True, 0.0, "throttled"),
    ],
)
def test_the_verdict_of_a_row(make_row, throttled, steady, word) -> None:
    assert of_row(make_row(throttled=throttled, steady=steady)).word == word


def test_the_verdict_of_all_is_the_worst_one(make_row) -> None:
    good, drifting, hot = make_row(throttled=False), make_row(steady=0.0), make_row(throttled=True)
    assert of_all([good, good]).sentence == "All 2 rows were steady after the warm-up, and none throttled."
    assert of_all([good, make_row()]).sentence.endswith("not known for 1 of them.")
    assert of_all([good, drifting]).sentence.startswith("1 of 2 rows was not steady")
    assert of_all([drifting, hot, good]).word == "throttled"
    assert of_all([]).word == "empty"


def test_the_front_holds_what_no_other_row_beats(make_row) -> None:
    rows = [
        make_row(5, accuracy=70.0),
        make_row(6, accuracy=69.0),
        make_row(9, accuracy=80.0),
        make_row(12, accuracy=80.0),
    ]
    assert [n for n, _, _ in best([(n, row, row.accuracy) for n, row in enumerate(rows)])] == [0, 2]


def test_what_is_absent_is_told_once(make_row) -> None:
    row = make_row()
    none = dict.fromkeys(("gpu power", "gpu clock"), "there is no GPU")
    assert absent([msgspec.structs.replace(row, absent=none)] * 2) == [
        ("gpu power, gpu clock", "there is no GPU", "all")
    ]
    rows = [msgspec.structs.replace(row, absent=words) for words in (none, {"gpu power": "there is no GPU"})]
    assert absent(rows) == [("gpu power", "there is no GPU", "all"), ("gpu clock", "there is no GPU", "1")]


def test_ticks_are_round_and_within_the_scale() -> None:
    for low, high in ((0, 1), (0, 13.7), (11.2, 18.9), (79.75, 81.05), (0, 0.0042), (0, 1e6)):
        ticks = Scale(low, high, 0, 100).ticks()
        assert 2 <= len(ticks) <= 7
        assert all(low - 1e-9 <= tick <= high * (1 + 1e-9) for tick in ticks)
    assert Scale(0, 10, 0, 100).ticks() == [0, 2, 4, 6, 8, 10]

from __future__ import annotations

import pytest

from coke_edge.stream.web.minute import Minute


def test_percentiles_of_each_full_second_and_of_all() -> None:
    minute = Minute()
    for value in range(101):
        minute.add(100.2, float(value))
    minute.add(102.9, 7.0)
    minute.add(103.0, 1000.0)  # the second under way does not count yet
    report = minute.report(103.5)
    assert len(report["seconds"]) == 60
    assert report["seconds"][-3:] == [[50.0, 95.0, 99.0], None, [7.0, 7.0, 7.0]]
    assert report["seconds"][:-3] == [None] * 57
    assert report["minute"][0] == pytest.approx(49.5, abs=1)
    assert report["rate"] == pytest.approx(102 / 3)  # three full seconds since the first frame


def test_nothing_measured() -> None:
    assert Minute().report(5.0) == {"seconds": [None] * 60, "minute": None, "rate": None}
    minute = Minute()
    minute.add(5.1, 1.0)
    assert minute.report(5.9)["rate"] is None


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    minute = Minute()
    for second in range(1000):
        minute.add(float(second), 1.0)
    assert len(minute._seconds) == 61
    assert minute.report(1000.0)["rate"] == 1
    late = minute.report(1100.0)
    assert late["minute"] is None
    assert late["rate"] == 0  # the source is silent

"""Integrals and increases of what a sensor said."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coke_edge.benchmarks.sensors.channel import UnreadableError
from coke_edge.benchmarks.sensors.rapl import Packages
from coke_edge.benchmarks.sensors.series import Series

STEPS = st.lists(st.floats(0.01, 10), min_size=1, max_size=20)


def series_of(values: list[float | None], times: list[float]) -> Series:
    """None does not answer."""
    answers = iter(values)

    def read() -> float:
        value = next(answers)
        if value is None:
            raise UnreadableError("gone")
        return value

    series = Series(read)
    for moment in times:
        series.sample(moment)
    return series


@settings(deadline=None)
@given(watts=st.floats(0, 1000), steps=STEPS)
def test_the_integral_of_a_constant_power_is_power_times_time(watts: float, steps: list[float]) -> None:
    times = [0.0, *accumulate(steps)]
    assert series_of([watts] * len(times), times).integral() == pytest.approx(watts * sum(steps))


@settings(deadline=None)
@given(steps=STEPS, data=st.data())
def test_gaps_change_nothing_of_a_power_that_rises_evenly(steps: list[float], data: st.DataObject) -> None:
    times = [0.0, *accumulate(steps)]
    gone = data.draw(st.sets(st.integers(1, max(1, len(times) - 2))))
    values = [None if n in gone and n < len(times) - 1 else t for n, t in enumerate(times)]
    assert series_of(values, times).integral() == pytest.approx(times[-1] ** 2 / 2)


@settings(deadline=None, max_examples=30)  # it writes files
@given(steps=st.lists(st.integers(0, 999), min_size=1, max_size=12), start=st.integers(0, 999))
def test_a_counter_that_wraps_gives_the_sum_of_its_steps(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], start: int
) -> None:
    folder = tmp_path_factory.mktemp("zone")
    counter = folder / "energy_uj"
    counter.write_text(str(start))
    (folder / "max_energy_range_uj").write_text("1000")
    packages, value = Packages([folder]), start
    for step in steps:
        value = (value + step) % 1000
        counter.write_text(str(value))
        joules = packages()
    assert joules == pytest.approx(sum(steps) / 1e6)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([None, None, None], "gone"),
        ([None, 1.0, 2.0], "did not answer all the time: gone"),
        ([1.0, 2.0, None], "did not answer all the time: gone"),
        ([1.0, float("inf"), float("nan")], "did not answer all the time: gave no number"),
        ([3.0, 2.0, 4.0], "its counter went backwards"),
    ],
)
def test_a_counter_that_cannot_be_trusted(values: list[float | None], reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        series_of(values, [0, 1, 2]).increase()


def test_a_stretch_of_no_length_has_no_power() -> None:
    with pytest.raises(UnreadableError, match="too short"):
        series_of([1.0, 2.0], [5, 5]).rate("W")


def test_a_state_at_the_ends_is_that_of_the_work_between() -> None:
    """Idle at 5 W before the first call and after the last, 15 W between."""
    series = series_of([5.0, 15.0, 15.0, 5.0], [0.0, 0.1, 0.2, 0.3])
    series.hold_ends()
    assert series.reading("W").mean == 15.0
    assert series.integral() == pytest.approx(15.0 * 0.3)

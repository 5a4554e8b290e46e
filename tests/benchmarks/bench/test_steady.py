"""A warm-up ends by its rule, and says so when it could not."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import pytest

from coke_edge.benchmarks.bench.steady import Rule, WarmUp, is_steady, warm_up

RULE = Rule(calls=4, seconds=0.0, windows=3, tolerance=0.05, most_seconds=1.0)


class Clock:
    """Time that passes only when a call takes it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def warmed(milliseconds: Iterable[float], rule: Rule = RULE) -> WarmUp:
    """A warm-up whose calls take these times."""
    clock, times = Clock(), iter(milliseconds)

    def call() -> float:
        taken = next(times)
        clock.now += taken / 1e3
        return taken

    return warm_up(call, rule, clock)


def test_it_waits_for_times_that_fall() -> None:
    falling = [20.0, 16.0, 13.0, 11.0, 10.0]  # of windows; the last three that agree are 10, 10.2, 10.1
    found = warmed(itertools.chain(*([value] * 4 for value in [*falling, 10.2, 10.1, 99.0])))
    assert (len(found.samples), found.steady) == (4 * 7, True)
    assert found.to_row() == {"calls": 28.0, "seconds": found.seconds, "steady": 1.0}


def test_single_slow_calls_do_not_matter() -> None:
    assert warmed([10, 10, 50, 10] * 3).samples == (10, 10, 50, 10) * 3


def test_what_never_becomes_steady_says_so() -> None:
    found = warmed(10.0 * (1 + i // 4 % 2) for i in itertools.count())  # 10 and 20 ms in turns, by windows
    assert not found.steady
    assert 1.0 <= found.seconds < 1.1


def test_windows_must_agree_with_each_other_not_with_their_neighbour_alone() -> None:
    assert is_steady([20.0, 10.0, 10.3, 10.5], RULE)
    assert not is_steady([10.0, 10.4, 10.8], RULE)
    assert not is_steady([10.0, 10.0], RULE)


def test_short_calls_do_not_make_it_short() -> None:
    found = warmed(itertools.repeat(1.0), dataclasses.replace(RULE, seconds=0.1))
    assert found.seconds == pytest.approx(0.3, abs=0.01)
    assert len(found.samples) == pytest.approx(300, abs=5)


def test_the_rule_is_told_in_full() -> None:
    words = RULE.words()
    assert all(text in words for text in ("3 windows", "4 calls", "0 s at least", "5 %", "1 s"))
    names = ["calls", "seconds", "windows", "tolerance", "most_seconds"]
    assert RULE.thresholds() == dict(zip(names, [4.0, 0.0, 3.0, 0.05, 1.0], strict=True))

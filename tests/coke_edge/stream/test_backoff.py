from __future__ import annotations

from itertools import islice

from coke_edge.stream.backoff import FIRST, LAST, delays


def test_it_doubles_up_to_a_bound_with_jitter() -> None:
    bounds = [min(FIRST * 2**i, LAST) for i in range(12)]
    runs = [list(islice(delays(), 12)) for _ in range(50)]
    for run in runs:
        assert all(bound / 2 <= delay <= bound for delay, bound in zip(run, bounds, strict=True))
    assert bounds[-1] == LAST
    assert len({run[0] for run in runs}) > 10

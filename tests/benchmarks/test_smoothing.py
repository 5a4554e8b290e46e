from __future__ import annotations

from coke_edge.benchmarks.smoothing import effect
from coke_edge.stream.smoothing import OneEuro


def test_less_jitter_for_some_lag() -> None:
    normal = effect(OneEuro(), speeds=(0.25, 1.0))
    assert normal.jitter_left < 0.6
    assert normal.lag_ms["1"] < normal.lag_ms["0.25"] < 50
    hidden = effect(OneEuro(), visible=0.0, speeds=(1.0,))
    assert hidden.jitter_left < normal.jitter_left
    assert hidden.lag_ms["1"] > normal.lag_ms["1"]


def test_a_filter_that_lets_all_through() -> None:
    nothing = effect(OneEuro(min_cutoff=1e6, hidden=1.0), speeds=(1.0,))
    assert abs(nothing.jitter_left - 1) < 1e-3
    assert abs(nothing.lag_ms["1"]) < 0.5

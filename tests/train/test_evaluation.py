"""Figures as plain data."""

from __future__ import annotations

import math

from coke_edge.train.evaluation import plain


def test_what_json_cannot_hold_is_none_and_floats_are_rounded() -> None:
    figures = {"a": 1 / 3, "b": {"c": math.nan, "d": [1]}, "e": math.inf, "f": 7, "g": "box"}
    assert plain(figures) == {"a": 0.3333, "b": {"c": None, "d": [1]}, "e": None, "f": 7, "g": "box"}

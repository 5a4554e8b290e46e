"""Which objects are shown as good and as bad cases."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coke_edge.benchmarks.experiments import pictures

KEYPOINTS = 4


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, KEYPOINTS)), min_size=1, max_size=60))
def test_no_object_is_good_and_bad_and_the_good_ones_are_better(objects: list[tuple[float, int]]) -> None:
    error = np.array([one for one, _ in objects])
    counted = np.arange(KEYPOINTS) < np.array([number for _, number in objects])[:, None]
    found = np.repeat(error[:, None], KEYPOINTS, 1), np.ones(len(error)), counted
    with mock.patch.object(pictures, "measured", return_value=found):
        chosen = pictures.cases(SimpleNamespace(predictions=None), None)
    good, bad = chosen["good"], chosen["bad"]
    assert not set(good) & set(bad)
    enough = np.flatnonzero(2 * counted.sum(1) >= max(1, counted.sum(1).max()))
    assert len(good) == min(pictures.COUNT, -(-len(enough) // 2))
    assert len(bad) == min(pictures.COUNT, len(enough) // 2)
    shown = np.minimum(error, 1.0)  # an error counts as the normalising length at most
    assert set(good + bad) <= set(enough.tolist())
    if bad:
        assert shown[good].max() <= shown[bad].min() + 1e-12
        assert shown[bad[0]] == shown[enough].max()

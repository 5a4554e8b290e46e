from __future__ import annotations

import time

import numpy as np
import pytest

from coke_edge.stream.pattern import centre, pattern
from coke_edge.stream.sources import open_source


@pytest.mark.parametrize("size", [(64, 48), (33, 21), (1, 1)])
def test_the_disc_is_where_it_should_be(size: tuple[int, int]) -> None:
    for index in (0, 17, 120):
        image = pattern(index, size)
        assert image.shape == (size[1], size[0], 3)
        rows, columns = np.nonzero((image == 255).all(axis=2))
        np.testing.assert_allclose([columns.mean(), rows.mean()], centre(index, size), atol=0.6)
    np.testing.assert_array_equal(pattern(0, size), pattern(120, size))


def test_size_and_rate() -> None:
    source = open_source("test:?size=32x16&fps=100")
    assert source.live
    assert source.frames_per_second == 100
    start = time.monotonic()
    for frame in source:
        assert frame.image.shape == (16, 32, 3)
        if frame.index >= 20:
            break
    assert time.monotonic() - start >= 0.2

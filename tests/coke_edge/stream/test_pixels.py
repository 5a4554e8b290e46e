from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from coke_edge.stream.pixels import to_bgr


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [None, 1, 3, 4])
def test_every_kind(dtype: type[Any], channels: int | None) -> None:
    shape = (5, 7) if channels is None else (5, 7, channels)
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    bgr = to_bgr(image)
    assert bgr.shape == (5, 7, 3)
    assert bgr.dtype == np.uint8
    assert bgr.flags.c_contiguous
    expected = np.rint(image / (np.iinfo(dtype).max / 255))
    expected = expected[..., :3] if channels in (3, 4) else expected.reshape(5, 7, 1)
    np.testing.assert_array_equal(bgr, np.broadcast_to(expected, bgr.shape))


@pytest.mark.parametrize("image", [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3)), np.zeros(4, np.uint8)])
def test_no_picture(image: Any) -> None:
    with pytest.raises(ValueError, match="no picture"):
        to_bgr(image)

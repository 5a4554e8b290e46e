from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coke_edge.kernels.features import FeatureMaps
from coke_edge.kernels.targets import KernelError


@given(st.sampled_from(["nchw", "nhwc"]), *[st.integers(1, 9)] * 4)
def test_dense_features_are_addressed_as_an_array_is(layout: str, b: int, c: int, h: int, w: int) -> None:
    maps = FeatureMaps.dense("fp32", layout, c, h, w)
    values = np.arange(b * c * h * w, dtype=np.float32)
    expected = (
        values.reshape(b, c, h * w) if layout == "nchw" else values.reshape(b, h * w, c).transpose(0, 2, 1)
    )
    strides = [4 * stride for stride in (maps.image_stride, maps.channel_stride, maps.cell_stride)]
    assert np.array_equal(np.lib.stride_tricks.as_strided(values, (b, c, h * w), strides), expected)
    assert maps.bytes(b) == values.nbytes
    if h * w > 1 and c > 1:
        assert maps.layout == layout


def test_one_cell_is_channels_last() -> None:
    maps = FeatureMaps.dense("fp16", "nchw", 64, 1, 1)
    assert (maps.layout, maps.image_stride, maps.cell_stride) == ("nhwc", 64, 64)


def test_gaps_count() -> None:
    maps = FeatureMaps("fp16", 16, 4, 6, 1024, 32, 1)
    assert maps.image_bytes == 2048
    assert maps.bytes(3) == 2 * (2 * 1024 + 15 * 32 + 24)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("fp64", 16, 4, 6, 384, 24, 1), "one of fp16, bf16, fp32, not fp64"),
        (("fp16", 16, 0, 6, 384, 24, 1), "16 × 0 × 6 are empty"),
        (("fp16", 0, 4, 6, 384, 24, 1), "are empty"),
        (("fp16", 16, 4, 6, 384, 24, 2), "strides of 24 from channel to channel and 2 from cell to cell"),
        (("fp16", 16, 4, 6, 384, 16, 1), "dense along"),  # channels that overlap
        (("fp16", 16, 4, 6, 384, 1, 8), "dense along"),
        (("fp16", 16, 4, 6, 384, -24, 1), "dense along"),
        (("fp16", 16, 1, 8, 384, 2**28, 1), "span more than 2,147,483,648 elements"),
        (("fp16", 512, 2049, 2048, 0, 1, 512), "span more than"),
    ],
)
def test_features_that_the_kernels_cannot_address(fields: tuple[Any, ...], message: str) -> None:
    with pytest.raises(KernelError, match=message):
        FeatureMaps(*fields)


def test_a_layout_of_another_name() -> None:
    with pytest.raises(KernelError, match="one of nchw, nhwc, not chwn"):
        FeatureMaps.dense("fp16", "chwn", 16, 4, 6)

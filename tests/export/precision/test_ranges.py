"""The extremes of the activations, and nothing that depends on the machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from coke_edge.export.precision.ranges import Range, round_off


def test_the_extremes_over_all_images(
    float32_graph: onnx.ModelProto,
    ranges: dict[str, Range],
    run_features: Callable[[onnx.ModelProto], NDArray[np.float32]],
) -> None:
    features = run_features(float32_graph)
    assert ranges["features"] == pytest.approx((features.min(), features.max()), rel=1e-3)
    assert "index" not in ranges
    assert all(np.isfinite(value).all() and value[0] <= value[1] for value in ranges.values())


def test_rounded() -> None:
    assert [round_off(x) for x in (0.0, 1.23456789, -123456.0, 1e-9)] == [0.0, 1.235, -123500.0, 1e-9]

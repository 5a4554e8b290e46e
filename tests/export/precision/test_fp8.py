"""e4m3fn where there are kernels for it."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper

from coke_edge.export.graph import serialise
from coke_edge.export.precision.fp8 import groups, suits, to_fp8
from coke_edge.export.precision.ranges import Range


def test_ordinary_convolutions_alone(float32_graph: onnx.ModelProto, ranges: dict[str, Range]) -> None:
    graph = to_fp8(float32_graph, ranges).graph
    held = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    weights = {i.name: numpy_helper.to_array(i) for i in float32_graph.graph.initializer}
    dequantised = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    found = set()
    for node in (node for node in graph.node if node.op_type == "Conv"):
        original = weights.get(f"{node.name}.weight")
        quantised = node.input[1] in dequantised
        if original is not None:
            assert quantised == suits(original.shape, groups(node))
        if not quantised:
            assert held[node.input[1]].dtype == np.float16
            continue
        found.add(node.name)
        source, scale, zero = (held[name] for name in dequantised[node.input[1]].input)
        assert source.dtype == zero.dtype == ml_dtypes.float8_e4m3fn
        assert scale.dtype == np.float16
        if original is not None:
            restored = source.astype(np.float32) * scale.astype(np.float32).reshape(-1, 1, 1, 1)
            largest = np.abs(original).max(axis=(1, 2, 3), keepdims=True)
            assert (np.abs(restored - original) <= np.abs(original) / 15 + largest / 400).all()
    assert "neck.project" in found
    assert "stem" not in found


def test_close_to_float32(
    float32_graph: onnx.ModelProto,
    ranges: dict[str, Range],
    feature_error: Callable[[onnx.ModelProto], float],
) -> None:
    assert 0 < feature_error(to_fp8(float32_graph, ranges)) < 0.15


def test_same_inputs_same_bytes(float32_graph: onnx.ModelProto, ranges: dict[str, Range]) -> None:
    assert serialise(to_fp8(float32_graph, ranges)) == serialise(to_fp8(float32_graph, ranges))

"""Two forms of 8 bits: what each may hold, and that both compute nearly the same as float32."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from coke_edge.export.graph import serialise
from coke_edge.export.precision.int8 import to_int8, to_uint8
from coke_edge.export.precision.ranges import Range

Ranges = dict[str, Range]
Convert = Callable[..., onnx.ModelProto]
FeatureError = Callable[[onnx.ModelProto], float]


def initialisers(graph: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {i.name: numpy_helper.to_array(i) for i in graph.graph.initializer}


def nodes(graph: onnx.ModelProto, operator: str) -> list[onnx.NodeProto]:
    return [node for node in graph.graph.node if node.op_type == operator]


def test_for_gpus(float32_graph: onnx.ModelProto, ranges: Ranges) -> None:
    graph = to_int8(float32_graph, ranges)
    held = initialisers(graph)
    for node in (*nodes(graph, "QuantizeLinear"), *nodes(graph, "DequantizeLinear")):
        assert held[node.input[1]].dtype == np.float16
        assert held[node.input[2]].dtype == np.int8
        assert not held[node.input[2]].any()
    dequantised = {node.output[0]: node for node in nodes(graph, "DequantizeLinear")}
    for node in nodes(graph, "Conv"):
        assert set(node.input[:2]) <= dequantised.keys()
        weight = dequantised[node.input[1]]
        assert held[weight.input[0]].dtype == np.int8
        assert held[weight.input[1]].shape == held[weight.input[0]].shape[:1]  # one scale a channel
        assert all(held[bias].dtype == np.float16 for bias in node.input[2:])
    (features,) = (value for value in graph.graph.value_info if value.name == "features")
    assert features.type.tensor_type.elem_type == TensorProto.FLOAT16


def test_for_cpus(float32_graph: onnx.ModelProto, ranges: Ranges) -> None:
    graph = to_uint8(float32_graph, ranges)
    held = initialisers(graph)
    assert {held[node.input[2]].dtype for node in nodes(graph, "QuantizeLinear")} == {np.dtype(np.uint8)}
    dequantised = {node.output[0]: node for node in nodes(graph, "DequantizeLinear")}
    for node in nodes(graph, "Conv"):
        weight, *bias = (held[dequantised[name].input[0]] for name in node.input[1:])
        assert weight.dtype == np.int8
        assert np.abs(weight.astype(int)).max() <= 64  # 7 bits: two products of bytes fit into 16
        assert all(values.dtype == np.int32 for values in bias)


@pytest.mark.parametrize(("convert", "limit"), [(to_int8, 0.08), (to_uint8, 0.12)])
def test_close_to_float32(
    float32_graph: onnx.ModelProto,
    ranges: Ranges,
    feature_error: FeatureError,
    convert: Convert,
    limit: float,
) -> None:
    error = feature_error(convert(float32_graph, ranges))
    layers = [node.name for node in nodes(float32_graph, "Conv")]
    better = feature_error(convert(float32_graph, ranges, layers[:10]))
    assert better < error < limit


@pytest.mark.parametrize("convert", [to_int8, to_uint8])
def test_layers_that_are_kept_have_float_weights(
    float32_graph: onnx.ModelProto, ranges: Ranges, convert: Convert
) -> None:
    graph = convert(float32_graph, ranges, ("neck.project",))
    held = initialisers(graph)
    float_weights = {node.name for node in nodes(graph, "Conv") if node.input[1] in held}
    assert float_weights == {"neck.project"}


@pytest.mark.parametrize("convert", [to_int8, to_uint8])
def test_same_inputs_same_bytes(float32_graph: onnx.ModelProto, ranges: Ranges, convert: Convert) -> None:
    assert serialise(convert(float32_graph, ranges)) == serialise(convert(float32_graph, ranges))

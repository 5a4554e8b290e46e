"""float16 up to the features, float32 from there."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from coke_edge.export.gate import onnx_runtime
from coke_edge.export.graph import serialise
from coke_edge.export.precision.fp16 import to_fp16


def test_types(float32_graph: onnx.ModelProto) -> None:
    graph = to_fp16(float32_graph).graph
    (features,) = (value for value in graph.value_info if value.name == "features")
    assert features.type.tensor_type.elem_type == TensorProto.FLOAT16
    (match,) = (node for node in graph.node if node.domain == "coke")
    assert match.input[0] == "features"  # without a cast: its own definition begins with one
    kinds = {i.name: i.data_type for i in graph.initializer}
    assert {kinds[name] for name in match.input[1:]} == {TensorProto.FLOAT}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert {kinds[name] for node in convolutions for name in node.input[1:]} == {TensorProto.FLOAT16}
    assert [node.input[0] for node in graph.node if node.op_type == "Cast"] == ["image"]
    outputs = {output.name: output.type.tensor_type.elem_type for output in graph.output}
    assert outputs.pop("index") == TensorProto.INT32
    assert set(outputs.values()) == {TensorProto.FLOAT}


def test_close_to_float32(float32_graph: onnx.ModelProto, images: NDArray[np.uint8]) -> None:
    actual = onnx_runtime(serialise(to_fp16(float32_graph)))(images)
    expected = onnx_runtime(serialise(float32_graph))(images)
    error = np.abs(actual.similarity - expected.similarity)
    assert 0 < error.max() < 0.01


def test_same_graph_same_bytes_and_the_graph_is_left_alone(float32_graph: onnx.ModelProto) -> None:
    before = serialise(float32_graph)
    half = serialise(to_fp16(float32_graph))
    assert serialise(to_fp16(float32_graph)) == half
    assert serialise(float32_graph) == before
    assert len(half) < 0.65 * len(before)

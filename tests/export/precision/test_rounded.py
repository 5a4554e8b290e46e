"""The roundings of float16 are made, and overflow is infinite, as on a GPU."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from coke_edge.export.gate import onnx_runtime, run_as_on_gpu
from coke_edge.export.graph import serialise
from coke_edge.export.precision.fp16 import to_fp16
from coke_edge.export.precision.rounded import rounded


def twice_then_half(kind: int) -> onnx.ModelProto:
    """y = (x·2)·½ in one float type."""
    constants = [helper.make_tensor(name, kind, [], [value]) for name, value in (("two", 2.0), ("half", 0.5))]
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["twice"]),
        helper.make_node("Mul", ["twice", "half"], ["again"]),
        helper.make_node("Cast", ["again"], ["y"], to=TensorProto.FLOAT),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])]
    if kind == TensorProto.FLOAT16:
        nodes.insert(0, helper.make_node("Cast", ["x"], ["x16"], to=kind))
        nodes[1].input[0] = "x16"
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, x: list[float]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(serialise(model), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": np.array(x, np.float32)})[0])


def test_rounding_and_overflow() -> None:
    model = rounded(twice_then_half(TensorProto.FLOAT16))
    np.testing.assert_array_equal(run(model, [1.0, 1 + 2**-12, 40000.0]), [1.0, 1.0, np.inf])


def test_float32_stays() -> None:
    model = twice_then_half(TensorProto.FLOAT)
    assert serialise(rounded(model)) == serialise(model)


def test_a_whole_graph(float32_graph: onnx.ModelProto, images: NDArray[np.uint8]) -> None:
    half = to_fp16(float32_graph)
    actual = run_as_on_gpu(half)(images).similarity
    expected = onnx_runtime(serialise(float32_graph))(images).similarity
    assert 0 < np.abs(actual - expected).max() < 0.01

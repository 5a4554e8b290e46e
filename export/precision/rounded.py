"""What a GPU computes in float16, for a CPU: every float16 tensor rounded to float16, the arithmetic in float32.

ONNX Runtime on a CPU computes a float16 graph in float32 and leaves out the roundings between its nodes: a value
above 65,504 would not overflow, and the gate would not see it. Here the roundings are explicit, so they stay.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from coke_edge.export.head import DOMAIN

WIDE, HALF = "@wide", "@half"


def rounded(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in float32 with each float16 tensor, under its own name, rounded; one without any stays as it is."""
    typed = onnx.shape_inference.infer_shapes(graph)
    half = {value.name for value in typed.graph.value_info if is_half(value)}
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    for initialiser in changed.graph.initializer:
        if initialiser.data_type == TensorProto.FLOAT16:
            values = numpy_helper.to_array(initialiser).astype(np.float32)
            initialiser.CopyFrom(numpy_helper.from_array(values, initialiser.name))
    del changed.graph.node[:]
    for node in graph.graph.node:
        copy = changed.graph.node.add()
        copy.CopyFrom(node)
        widen(copy)
        if node.domain != DOMAIN and (name := node.output[0]) in half:
            copy.output[0] = name + WIDE
            changed.graph.node.extend(
                [
                    onnx.helper.make_node("Cast", [name + WIDE], [name + HALF], to=TensorProto.FLOAT16),
                    onnx.helper.make_node("Cast", [name + HALF], [name], to=TensorProto.FLOAT),
                ]
            )
    for value in (*changed.graph.value_info, *changed.graph.output):
        if is_half(value):
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return changed


def is_half(value: onnx.ValueInfoProto) -> bool:
    """Whether a tensor is float16."""
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT16)


def widen(node: onnx.NodeProto) -> None:
    """Let a cast to float16 go to float32."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT16:
            attribute.i = TensorProto.FLOAT

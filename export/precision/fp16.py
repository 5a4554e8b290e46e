"""float16: half the bytes, and what GPUs are fast at. Converted by ONNX Runtime's own converter."""

from __future__ import annotations

import onnx

from coke_edge.export.precision.body import join_head, keep, split_body


def to_fp16(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The float32 graph with weights and activations in float16, from the cast of `image` to `features`."""
    return join_head(half(split_body(graph)), graph)


def half(body: onnx.ModelProto) -> onnx.ModelProto:
    """A body from `image` to `features` in float16, also one with Q/DQ: then its scales are float16 as well."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    body = convert_float_to_float16(body, op_block_list=[])
    without_idle_casts(body)
    return body


def without_idle_casts(model: onnx.ModelProto) -> None:
    """Drop casts of float32 constants to float32: the converter adds them where an input may not be float16."""
    constants = {i.name for i in model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT}
    idle = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "Cast"
        and node.input[0] in constants
        and node.attribute[0].i == onnx.TensorProto.FLOAT
    }
    for node in model.graph.node:
        node.input[:] = [idle.get(name, name) for name in node.input]
    keep(model, [node for node in model.graph.node if node.output[0] not in idle])

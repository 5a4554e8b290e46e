"""float8 e4m3fn for GPUs that compute in it: the places of int8's Q/DQ nodes, with values of another kind.

A scale is the largest magnitude divided by 448, the largest number of the format. Depthwise convolutions and those
whose channels are no multiples of 16 stay float16: they have no fp8 kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper

from coke_edge.export.precision.body import join_head, split_body
from coke_edge.export.precision.fp16 import half
from coke_edge.export.precision.quantise import quantise
from coke_edge.export.precision.ranges import Range

LARGEST_INT8, LARGEST_FP8 = 127.0, 448.0
CHANNELS = 16


def to_fp8(graph: onnx.ModelProto, ranges: Mapping[str, Range], kept: Sequence[str] = ()) -> onnx.ModelProto:
    """For GPUs: e4m3fn inputs and weights of ordinary convolutions but those `kept`, the rest float16."""
    return join_head(half(quantise_fp8(split_body(graph), ranges, kept)), graph)


def quantise_fp8(
    body: onnx.ModelProto, ranges: Mapping[str, Range], kept: Sequence[str] = ()
) -> onnx.ModelProto:
    """The body with Q/DQ nodes of e4m3fn, float32 between them; see `quantise.quantise`."""
    weights = {i.name: numpy_helper.to_array(i) for i in body.graph.initializer}
    without = [
        node.name
        for node in body.graph.node
        if node.op_type == "Conv" and not suits(weights[node.input[1]].shape, groups(node))
    ]
    quantised = quantise(body, ranges, [*kept, *without], signed=True)
    to_float8(quantised, weights)
    return quantised


def suits(weight: tuple[int, ...], group: int) -> bool:
    """Whether a convolution with a weight of this shape [out, in/groups, h, w] has an fp8 kernel."""
    return group == 1 and weight[0] % CHANNELS == 0 and weight[1] % CHANNELS == 0


def groups(node: onnx.NodeProto) -> int:
    """The `group` attribute of a convolution."""
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "group"), 1)


def to_float8(quantised: onnx.ModelProto, weights: Mapping[str, np.ndarray]) -> None:
    """Turn the int8 Q/DQ nodes of a body, symmetric ones, into e4m3fn; `weights` are the float32 initialisers."""
    initialisers = {i.name: i for i in quantised.graph.initializer}
    scales = {}
    for node in quantised.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            _, scale, zero = node.input
            if scale not in scales:
                scales[scale] = numpy_helper.to_array(initialisers[scale]) * np.float32(
                    LARGEST_INT8 / LARGEST_FP8
                )
                replace(initialisers[scale], scales[scale])
                shape = tuple(initialisers[zero].dims)
                replace(initialisers[zero], np.zeros(shape, ml_dtypes.float8_e4m3fn))
    for node in quantised.graph.node:
        source = node.input[0].removesuffix("_quantized")
        if node.op_type == "DequantizeLinear" and node.input[0] in initialisers:
            scale = scales[node.input[1]].reshape(-1, *[1] * (weights[source].ndim - 1))
            scaled = np.clip(weights[source] / scale, -LARGEST_FP8, LARGEST_FP8)
            replace(initialisers[node.input[0]], scaled.astype(ml_dtypes.float8_e4m3fn))


def replace(initialiser: onnx.TensorProto, values: np.ndarray) -> None:
    """Give an initialiser other values, under its own name."""
    initialiser.CopyFrom(numpy_helper.from_array(values, initialiser.name))

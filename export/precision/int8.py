"""8-bit integers, in two forms, since no graph serves GPUs and CPUs alike.

TensorRT takes signed activations with a zero point of 0 and biases in float, nothing else. ONNX Runtime's integer
kernels on x86 want unsigned activations with a zero point and biases in int32: a signed graph runs slower there than
float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from coke_edge.export.precision.body import join_head, split_body
from coke_edge.export.precision.fp16 import half
from coke_edge.export.precision.quantise import quantise
from coke_edge.export.precision.ranges import Range


def to_int8(graph: onnx.ModelProto, ranges: Mapping[str, Range], kept: Sequence[str] = ()) -> onnx.ModelProto:
    """For GPUs: signed 8-bit inputs and weights of every convolution but those `kept`, the rest float16.

    `ranges` are those of `activation_ranges`.
    """
    return join_head(half(quantise(split_body(graph), ranges, kept, signed=True)), graph)


def to_uint8(
    graph: onnx.ModelProto, ranges: Mapping[str, Range], kept: Sequence[str] = ()
) -> onnx.ModelProto:
    """For CPUs: unsigned 8-bit activations, 7-bit weights, all but the convolutions `kept`; the rest float32."""
    return join_head(quantise(split_body(graph), ranges, kept, signed=False), graph)

"""Q/DQ nodes in a body, placed and computed by ONNX Runtime's quantiser, from ranges that were measured."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx

from coke_edge.export.precision.ranges import Range

# For GPUs: before convolutions alone (sums and what follows stay float16), zero point 0, biases in float:
# TensorRT takes nothing else.
SIGNED: dict[str, Any] = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    "OpTypesToExcludeOutputQuantization": ["Conv"],
}
SIGNED_OPERATORS = ("Conv",)
# For CPUs: from the first convolution to the last, so that whole chains run on bytes; a clip at 0 is the lower
# end of an unsigned range, and ONNX Runtime then drops the Clip or Relu.
UNSIGNED: dict[str, Any] = {
    "ActivationSymmetric": False,
    "WeightSymmetric": True,
    "QDQKeepRemovableActivations": True,
    "OpTypesToExcludeOutputQuantization": ["Conv"],
}
UNSIGNED_OPERATORS = ("Conv", "Clip", "Relu", "Add", "Resize")


def convolutions(body: onnx.ModelProto) -> list[str]:
    """The names of the convolutions, which are the layers that a precision is chosen for, in the graph's order."""
    return [node.name for node in body.graph.node if node.op_type == "Conv"]


def quantise(
    body: onnx.ModelProto, ranges: Mapping[str, Range], kept: Sequence[str] = (), *, signed: bool
) -> onnx.ModelProto:
    """The body in 8 bits: weights per channel, activations per tensor; the convolutions `kept` stay as they are.

    Unsigned ones have weights of 7 bits, since without VNNI the sums of 8-bit products saturate on x86.
    """
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import QuantType

    operators = SIGNED_OPERATORS if signed else UNSIGNED_OPERATORS
    nodes = [node.name for node in body.graph.node if node.op_type in operators and node.name not in kept]
    with quiet():
        quantiser = QDQQuantizer(
            body,
            True,  # per channel
            not signed,  # 7 bits for weights
            QuantType.QInt8,
            QuantType.QInt8 if signed else QuantType.QUInt8,
            tensors_data(ranges),
            nodes,
            [],
            list(operators),
            SIGNED if signed else UNSIGNED,
        )
        quantiser.quantize_model()
    quantised: onnx.ModelProto = quantiser.model.model
    return quantised


def tensors_data(ranges: Mapping[str, Range]) -> Any:
    """The ranges as the quantiser wants them."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData

    return TensorsData(
        CalibrationMethod.MinMax,
        {
            name: TensorData(lowest=np.float32(low), highest=np.float32(high))
            for name, (low, high) in ranges.items()
        },
    )


@contextmanager
def quiet() -> Iterator[None]:
    """The quantiser's advice goes to the root logger; here everything that it advises is decided."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)

"""Networks and their parser: an ONNX graph with its functions inlined, a layer for each node."""

from __future__ import annotations

import enum
from typing import Any

import onnx
import onnx.inliner
import onnx.shape_inference
from onnx import TensorProto

from .enums import DataType, TensorFormat

PUBLIC = ("OnnxParser",)

KINDS = {
    TensorProto.FLOAT: DataType.FLOAT,
    TensorProto.FLOAT16: DataType.HALF,
    TensorProto.INT8: DataType.INT8,
    TensorProto.INT32: DataType.INT32,
    TensorProto.INT64: DataType.INT64,
    TensorProto.UINT8: DataType.UINT8,
    TensorProto.BOOL: DataType.BOOL,
}
ErrorCode = enum.IntEnum("ErrorCode", {"MODEL_DESERIALIZE_FAILED": 3, "UNSUPPORTED_NODE": 8})
FORMATS = {
    DataType.HALF: (TensorFormat.LINEAR, TensorFormat.HWC8),
    DataType.FLOAT: (TensorFormat.LINEAR, TensorFormat.HWC),
}


class ITensor:
    """A tensor of a network; `_value` is its name in the ONNX graph."""

    def __init__(self, value: str, dtype: DataType, shape: tuple[int, ...]) -> None:
        self._value, self.name, self.dtype, self.shape = value, value, dtype, shape
        self.allowed_formats = 1 << TensorFormat.LINEAR

    def _format(self) -> TensorFormat:
        (wanted,) = (f for f in TensorFormat if self.allowed_formats == 1 << f)
        if wanted not in FORMATS.get(self.dtype, (TensorFormat.LINEAR,)):
            raise ValueError(
                f"{self.name}: has dataType {self.dtype.name} unsupported by tensor's allowed TensorFormats"
            )
        return wanted


class ILayer:
    """A node."""

    def __init__(self, *outputs: ITensor) -> None:
        self._outputs = outputs
        self.num_outputs = len(outputs)

    def get_output(self, index: int) -> ITensor:
        return self._outputs[index]


class INetworkDefinition:
    """A parsed graph, and which of its tensors are outputs."""

    def __init__(self) -> None:
        self._model = onnx.ModelProto()
        self._layers: list[ILayer] = []
        self._inputs: list[ITensor] = []
        self._outputs: list[ITensor] = []

    num_layers = property(lambda self: len(self._layers))
    num_inputs = property(lambda self: len(self._inputs))
    num_outputs = property(lambda self: len(self._outputs))

    def get_layer(self, index: int) -> ILayer:
        return self._layers[index]

    def get_input(self, index: int) -> ITensor:
        return self._inputs[index]

    def get_output(self, index: int) -> ITensor:
        return self._outputs[index]

    def mark_output(self, tensor: ITensor) -> None:
        assert tensor not in self._outputs
        self._outputs.append(tensor)

    def unmark_output(self, tensor: ITensor) -> None:
        self._outputs.remove(tensor)

    def add_cast(self, tensor: ITensor, kind: DataType) -> ILayer:
        self._layers.append(ILayer(ITensor(tensor._value, kind, tensor.shape)))
        return self._layers[-1]


class ParserError:
    """What the parser did not like."""

    def __init__(
        self, code: ErrorCode, said: str, node: int = -1, name: str = "", operator: str = ""
    ) -> None:
        self._code, self._said, self._node, self._name, self._operator = code, said, node, name, operator

    def code(self) -> ErrorCode:
        return self._code

    def desc(self) -> str:
        return self._said

    def node(self) -> int:
        return self._node

    def node_name(self) -> str:
        return self._name

    def node_operator(self) -> str:
        return self._operator

    def local_function_stack(self) -> list[str]:
        return []


class OnnxParser:
    """ONNX → network."""

    _state: Any

    def __init__(self, network: INetworkDefinition, logger: Any) -> None:
        self._network = network
        self._errors: list[ParserError] = []

    num_errors = property(lambda self: len(self._errors))

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse(self, model: bytes) -> bool:
        try:
            graph = onnx.load_from_string(model)
        except Exception:
            self._errors.append(
                ParserError(ErrorCode.MODEL_DESERIALIZE_FAILED, "Failed to parse the ONNX model.\nAt all.")
            )
            return False
        whole = onnx.shape_inference.infer_shapes(onnx.inliner.inline_local_functions(graph), data_prop=True)
        for index, node in enumerate(whole.graph.node):
            if node.op_type in self._state.unsupported:
                error = ParserError(ErrorCode.UNSUPPORTED_NODE, "false", index, node.name, node.op_type)
                self._errors.append(error)
                return False
        self._fill(whole)
        return True

    def _fill(self, model: onnx.ModelProto) -> None:
        graph, network = model.graph, self._network
        known = {value.name: tensor_of(value) for value in (*graph.input, *graph.value_info, *graph.output)}
        network._model = model
        network._inputs = [known[value.name] for value in graph.input]
        for node in graph.node:
            network._layers.append(ILayer(*(known[name] for name in node.output if name in known)))
        network._outputs = [known[value.name] for value in graph.output]


def tensor_of(value: onnx.ValueInfoProto) -> ITensor:
    """A tensor from its declaration; an unknown length is −1."""
    kind = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return ITensor(value.name, KINDS.get(kind.elem_type, DataType.FLOAT), shape)

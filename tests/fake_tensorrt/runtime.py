"""Runtimes: bytes become an engine, whose contexts run on a stream."""

from __future__ import annotations

import hashlib
import json
import weakref
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from .builder import MAGIC, Severity, State
from .enums import (
    DataType,
    ExecutionContextAllocationStrategy,
    LayerInformationFormat,
    TensorFormat,
    TensorIOMode,
)
from .gpu import Work, gpu_name, recording
from .network import tensor_of

PUBLIC = ("Runtime",)

NUMPY = {
    DataType.FLOAT: np.float32,
    DataType.HALF: np.float16,
    DataType.INT32: np.int32,
    DataType.INT64: np.int64,
    DataType.UINT8: np.uint8,
}
SCRATCH = 1000  # bytes that every context needs
WORDS = {
    DataType.FLOAT: "Row major linear FP32",
    DataType.HALF: "Channel major FP16 format where channel % 8 == 0",
    DataType.INT8: "Int8",
    DataType.INT32: "Row major Int32 format",
    DataType.INT64: "Int64",
    DataType.BOOL: "Bool",
}


class Runtime:
    """Loads engines."""

    _state: State

    def __init__(self, logger: Any) -> None:
        if not gpu_name():
            logger.log(Severity.ERROR, "CUDA initialization failure with error: 100")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger = logger

    def deserialize_cuda_engine(self, content: bytes) -> ICudaEngine | None:
        reason = refusal(content, self._state.version)
        if reason:
            self._logger.log(
                Severity.ERROR, f"IRuntime::deserializeCudaEngine: Error Code 1: Serialization ({reason})"
            )
            return None
        return ICudaEngine(content, self._logger, self._state)


def refusal(content: bytes, version: str) -> str:
    """Why these bytes are no engine for here; empty if they are."""
    magic, digest, body = content[: len(MAGIC)], content[len(MAGIC) :][:64], content[len(MAGIC) + 65 :]
    if magic != MAGIC or hashlib.sha256(body).hexdigest().encode() != digest:
        return "magicTag mismatch"
    header = json.loads(body.partition(b"\n")[0])
    if header["version"] != version:
        return f"engine was built by version {header['version']}, this is {version}"
    if header["gpu"] != gpu_name():
        return "engine was built for another device"
    return ""


class Computation:
    """What an engine computes, on device memory."""

    def __init__(self, content: bytes, fake_cuda: Any) -> None:
        header, _, self.graph = content[len(MAGIC) + 65 :].partition(b"\n")
        self.header: dict[str, Any] = json.loads(header)
        self.inputs = {name: shapes for name, _, _, shapes in self.header["inputs"]}
        self.outputs = {name: (TensorFormat(f), value) for name, _, _, f, value in self.header["outputs"]}
        both = (*self.header["inputs"], *self.header["outputs"])
        self.tensors = {name: (DataType(kind), tuple(shape)) for name, kind, shape, *_ in both}
        self._fake_cuda = fake_cuda
        self._session: Any = None

    def run(self, batch: int, addresses: dict[str, int]) -> None:
        """Once, from and to these addresses."""
        import onnxruntime

        if self._session is None:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(
                self.graph, options, providers=["CPUExecutionProvider"]
            )

        def memory(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
            array: NDArray[Any] = self._fake_cuda.array(addresses[name], shape, NUMPY[self.tensors[name][0]])
            return array

        feeds = {name: memory(name, (batch, *self.tensors[name][1][1:])) for name in self.inputs}
        found = self._session.run([value for _, value in self.outputs.values()], feeds)
        for (name, (layout, _)), values in zip(self.outputs.items(), found, strict=True):
            stored = values if layout == TensorFormat.LINEAR else values.transpose(0, 2, 3, 1)
            memory(name, stored.shape)[:] = stored


class ICudaEngine:
    """A loaded engine."""

    def __init__(self, content: bytes, logger: Any, state: State) -> None:
        self._logger = logger
        self._does = Computation(content, state.fake_cuda)
        self.device_memory_size_v2 = SCRATCH
        self._work = Work(state.fake_cuda)
        self._finish = weakref.finalize(self, self._work.free)

    num_io_tensors = property(lambda self: len(self._does.tensors))

    def get_tensor_name(self, index: int) -> str:
        return list(self._does.tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._does.inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._does.tensors[name][1]

    def get_tensor_dtype(self, name: str) -> DataType:
        return self._does.tensors[name][0]

    def get_tensor_format(self, name: str) -> TensorFormat:
        return TensorFormat.LINEAR if name in self._does.inputs else self._does.outputs[name][0]

    def create_engine_inspector(self) -> EngineInspector:
        return EngineInspector(self)

    def create_execution_context(self, strategy: ExecutionContextAllocationStrategy) -> IExecutionContext:
        assert strategy == ExecutionContextAllocationStrategy.USER_MANAGED
        return IExecutionContext(self)


class IExecutionContext:
    """An engine with shapes and addresses."""

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}
        self._batch = 0
        self._scratch = 0
        self._ran = False

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory % 256 == 0
        assert size >= SCRATCH
        self._scratch = memory

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        smallest, _, largest = self._engine._does.inputs[name]
        fits = len(shape) == len(largest) and all(
            a <= n <= b for a, n, b in zip(smallest, shape, largest, strict=True)
        )
        if fits:
            self._batch, self._ran = shape[0], False
        else:
            self._complain(f"Static dimension mismatch while setting input shape for {name}")
        return fits

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return name in self._engine._does.tensors

    def execute_async_v3(self, stream: int) -> bool:
        engine = self._engine
        if self._batch == 0 or not self._scratch or set(self._addresses) != set(engine._does.tensors):
            return self._complain("a shape, an address or the device memory was not set")
        if recording(stream) and not self._ran:
            return self._complain("the first run of a context cannot be captured")
        self._ran = True
        return engine._work.enqueue(partial(engine._does.run, self._batch, dict(self._addresses)), stream)

    def _complain(self, text: str) -> bool:
        self._engine._logger.log(Severity.ERROR, f"IExecutionContext: Error Code 3: API Usage Error ({text})")
        return False


class EngineInspector:
    """A layer for each node, described as TensorRT does."""

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine

    def get_engine_information(self, style: LayerInformationFormat) -> str:
        assert style == LayerInformationFormat.JSON
        graph = onnx.load_from_string(self._engine._does.graph).graph
        if not self._engine._does.header["detailed"]:
            return json.dumps({"Layers": [node.name for node in graph.node]})
        kinds = {
            value.name: tensor_of(value).dtype for value in (*graph.input, *graph.value_info, *graph.output)
        }
        layers = [
            {
                "Name": node.name,
                "LayerType": node.op_type,
                "Inputs": [
                    {"Name": name, "Format/Datatype": WORDS.get(kinds[name], "UInt8")}
                    for name in node.input
                    if name in kinds
                ],
            }
            for node in graph.node
        ]
        return json.dumps({"Layers": layers})

"""Plugins ahead of time in the fake TensorRT: asked for shapes and launches as the library does, then launched by it.

`install(module, folder)` makes a fake `tensorrt` take plugins. A built engine holds the PTX and the expressions,
nothing of Python. When it runs, it launches each kernel with pointers to the inputs, the int32 numbers and pointers to
the outputs, and without asking the driver for more shared memory than every launch may have. What a kernel does is
looked up by its PTX's sha256 in `module._state.plugin_kernels`.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import json
import math
import re
import types
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from cuda.bindings import driver as cuda
from numpy.typing import NDArray

from . import builder, plugin_api, runtime
from .enums import DataType, TensorFormat, TensorIOMode
from .gpu import SUCCESS, capability, current
from .network import ILayer, INetworkDefinition, ITensor
from .plugin_api import BATCH, IDimensionExpr, evaluate

MAGIC = b"fake engine with plugins\n"
KINDS = {np.dtype(kind): trt for trt, kind in runtime.NUMPY.items()}
NUMPY = runtime.NUMPY


def install(module: types.ModuleType, source: Path) -> types.ModuleType:
    """Give a fake `tensorrt` plugins, and `tensorrt.plugin` from a folder."""
    state = module._state
    state.plugin_kernels = {}
    for one in (Builder, Runtime):
        setattr(module, one.__name__, builder.bound(one, state))
    return plugin_api.load(module, source)


class Network(INetworkDefinition):
    """A network that takes constants and plugins."""

    def __init__(self) -> None:
        super().__init__()
        self._constants: dict[ITensor, NDArray[Any]] = {}
        self._plugins: list[tuple[Any, list[ITensor], list[ITensor]]] = []

    def add_constant(self, shape: tuple[int, ...], weights: NDArray[Any]) -> ILayer:
        assert 0 < weights.size == math.prod(shape)
        tensor = ITensor("constant", KINDS[weights.dtype], tuple(shape))
        self._constants[tensor] = weights
        return self._append(tensor)

    def add_plugin(self, make: Any, aot: bool) -> ILayer:
        inputs, shapes, plugin = make(
            plugin_api.QuickPluginCreationRequest["STRICT_AOT" if aot else "STRICT_JIT"]
        )
        assert not shapes
        types_ = plugin.get_output_data_types([t.dtype for t in inputs], [len(t.shape) for t in inputs])
        expressions = [plugin_api.DimsExprs([expression(n) for n in t.shape]) for t in inputs]
        found = plugin.get_output_shapes(expressions, [], plugin_api.IExprBuilder())
        outputs = []
        for kind, exprs in zip(types_, found, strict=True):
            shape = tuple(e.plain if e.is_constant() else -1 for e in exprs)
            assert all(e.is_constant() or e.plain == BATCH for e in exprs)
            outputs.append(ITensor("plugin", kind, shape))
        self._plugins.append((plugin, list(inputs), outputs))
        return self._append(*outputs)

    def _append(self, *tensors: ITensor) -> ILayer:
        self._layers.append(ILayer(*tensors))
        return self._layers[-1]


def expression(length: int) -> IDimensionExpr:
    """A length of a network's tensor; −1 is the batch."""
    return IDimensionExpr(BATCH if length == -1 else length)


class Builder(builder.Builder):
    """A builder that compiles plugins."""

    def create_network(self, flags: int) -> Network:
        super().create_network(flags)
        return Network()

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        if not network._plugins:
            return super().build_serialized_network(network, config)
        (profile,) = config._profiles
        smallest, typical, largest = (shape[0] for shape in profile._shapes[network._inputs[0].name])
        made = [compiled(*plugin, (smallest, typical, largest)) for plugin in network._plugins]
        outputs = network._outputs
        written = {tensor for _, _, results in network._plugins for tensor in results}
        read = {tensor: None for _, inputs, _ in network._plugins for tensor in inputs}
        network._outputs = [tensor for tensor in read if tensor not in written | network._constants.keys()]
        features = super().build_serialized_network(network, config)
        network._outputs = outputs
        if features is None:
            return None
        everything = list({**read, **dict.fromkeys(written)})
        number = {tensor: str(place) for place, tensor in enumerate(everything)}
        header = {
            "largest": largest,
            "tensors": {
                number[t]: [int(t.dtype), [expression(n).plain for n in t.shape]] for t in everything
            },
            "from_graph": {
                number[t]: t.name for t in everything if t not in written and t not in network._constants
            },
            "constants": {
                number[t]: base64.b64encode(v.tobytes()).decode() for t, v in network._constants.items()
            },
            "outputs": [[t.name, number[t], int(t.dtype), t.shape] for t in outputs],
            "plugins": [
                {**one, "inputs": [number[t] for t in inputs], "outputs": [number[t] for t in results]}
                for one, (_, inputs, results) in zip(made, network._plugins, strict=True)
            ],
        }
        return builder.IHostMemory(MAGIC + json.dumps(header).encode() + b"\n" + features)


def compiled(
    plugin: Any, inputs: list[ITensor], outputs: list[ITensor], batches: tuple[int, int, int]
) -> dict[str, Any]:
    """What an engine keeps of a plugin, asked for in the library's order."""
    builder_ = plugin_api.IExprBuilder()
    both = [described(tensor, batches) for tensor in (*inputs, *outputs)]
    combination = plugin.get_supported_format_combinations(both, len(inputs))
    assert [c.type for c in combination] == [t.dtype for t in (*inputs, *outputs)], (
        "TensorRT would not find a format"
    )
    assert {c.format for c in combination} == {TensorFormat.LINEAR}
    plugin.configure_plugin(both[: len(inputs)], both[len(inputs) :])
    assert plugin.get_valid_tactics() == []
    plugin.set_tactic(0)
    expressions = [plugin_api.DimsExprs([expression(n) for n in t.shape]) for t in inputs]
    launch, numbers = plugin_api.KernelLaunchParams(), plugin_api.ISymExprs()
    plugin.get_launch_params(expressions, both, len(inputs), launch, numbers, builder_)
    assert len(numbers) == numbers.nbSymExprs
    assert all(n.dtype == plugin_api.PluginArgDataType.INT32 for n in numbers.values())
    name, ptx = plugin.get_kernel(
        [d.desc for d in both[: len(inputs)]], [d.desc for d in both[len(inputs) :]]
    )
    return {
        "symbol": name,
        "ptx": ptx.decode(),
        "numbers": [numbers[place].expr.plain for place in range(numbers.nbSymExprs)],
        "grid": [getattr(launch, f"grid_{axis}").expr.plain for axis in "xyz"],
        "block": [getattr(launch, f"block_{axis}").expr.plain for axis in "xyz"],
        "shared": launch.shared_mem.expr.plain,
    }


def described(tensor: ITensor, batches: tuple[int, int, int]) -> plugin_api.DynamicPluginTensorDesc:
    """A tensor for a plugin."""
    low, typical, high = (tuple(n if m == -1 else m for m in tensor.shape) for n in batches)
    desc = plugin_api.PluginTensorDesc(plugin_api.Dims(tensor.shape), tensor.dtype, TensorFormat.LINEAR)
    return plugin_api.DynamicPluginTensorDesc(desc, low, high, typical)


class Runtime(runtime.Runtime):
    """A runtime for engines with plugins; it needs nothing of `tensorrt.plugin`."""

    def deserialize_cuda_engine(self, content: bytes) -> Any:
        if not content.startswith(MAGIC):
            return super().deserialize_cuda_engine(content)
        header, _, graph = content[len(MAGIC) :].partition(b"\n")
        engine = super().deserialize_cuda_engine(graph)
        return Engine(engine, json.loads(header), self._state) if engine else None


class Engine:
    """The engine of the graph, with kernels after it."""

    def __init__(self, engine: Any, header: dict[str, Any], state: Any) -> None:
        self._engine, self._header = engine, header
        self._outputs = {
            name: (number, DataType(kind), tuple(shape)) for name, number, kind, shape in header["outputs"]
        }
        self._kernels = [Kernel(one, state) for one in header["plugins"]]
        self._memory = Memory(header)
        self.device_memory_size_v2 = engine.device_memory_size_v2
        weakref.finalize(self, free, self._memory, self._kernels)

    num_io_tensors = property(lambda self: 1 + len(self._outputs))

    def get_tensor_name(self, index: int) -> str:
        return [*self._engine._does.inputs, *self._outputs][index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.OUTPUT if name in self._outputs else TensorIOMode.INPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._outputs[name][2] if name in self._outputs else self._engine.get_tensor_shape(name)

    def get_tensor_dtype(self, name: str) -> DataType:
        return self._outputs[name][1] if name in self._outputs else self._engine.get_tensor_dtype(name)

    def get_tensor_format(self, name: str) -> TensorFormat:
        return TensorFormat.LINEAR

    def create_engine_inspector(self) -> Any:
        return self._engine.create_engine_inspector()

    def create_execution_context(self, strategy: Any) -> Context:
        return Context(self, self._engine.create_execution_context(strategy))


class Context:
    """The context of the graph, with launches after it."""

    def __init__(self, engine: Engine, context: Any) -> None:
        self._engine, self._context = engine, context
        self._addresses = dict(engine._memory.addresses)
        for number, name in engine._header["from_graph"].items():
            context.set_tensor_address(name, self._addresses[number])

    def set_device_memory(self, memory: int, size: int) -> None:
        self._context.set_device_memory(memory, size)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        return bool(self._context.set_input_shape(name, shape))

    def set_tensor_address(self, name: str, address: int) -> bool:
        if name not in self._engine._outputs:
            return bool(self._context.set_tensor_address(name, address))
        self._addresses[self._engine._outputs[name][0]] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        if not self._context.execute_async_v3(stream):
            return False
        kernels = self._engine._kernels
        return all(kernel.launch(self._addresses, self._context._batch, stream) for kernel in kernels)


class Memory:
    """Device memory for everything between the graph and the outputs; constants are in it."""

    def __init__(self, header: dict[str, Any]) -> None:
        self.addresses: dict[str, int] = {}
        with current():
            for number, (kind, shape) in header["tensors"].items():
                elements = math.prod(evaluate(n, header["largest"]) for n in shape)
                size = elements * np.dtype(NUMPY[DataType(kind)]).itemsize
                status, address = cuda.cuMemAlloc(size)
                assert status == SUCCESS, status
                self.addresses[number] = int(address)
                if number in header["constants"]:
                    content = base64.b64decode(header["constants"][number])
                    assert len(content) == size
                    assert cuda.cuMemcpyHtoD(address, content, size) == (SUCCESS,)


class Kernel:
    """PTX made a kernel of the driver: the same parameters, threads and GPU."""

    def __init__(self, one: dict[str, Any], state: Any) -> None:
        from fake_cuda import cubins

        self._one = one
        text = one["ptx"]
        listed = re.search(rf"\.entry\s+{one['symbol']}\s*\((.*?)\)", text, re.DOTALL)
        assert listed is not None
        kinds = re.findall(r"\.param\s+\.(\w+)", listed[1])
        assert len(kinds) == len(one["inputs"]) + len(one["numbers"]) + len(one["outputs"])
        self._kinds = kinds
        block = int(re.findall(r"\.reqntid\s+(\d+)", text)[0])
        target = int(re.findall(r"\.target\s+sm_(\d+)", text)[0])
        assert target == capability(), "the driver would refuse this PTX"
        digest = hashlib.sha256(text.encode()).hexdigest()
        sizes = ["i32" if kind in ("u32", "s32", "b32") else "i64" for kind in kinds]
        abi = 7 if target < 90 else 8
        image = cubins.cubin(one["symbol"], sizes, block, target, abi, digest)
        state.fake_cuda.kernel(image, state.plugin_kernels[digest])
        self._context = cuda.cuDevicePrimaryCtxRetain(0)
        with current():
            status, self.module = cuda.cuModuleLoadData(image)
            assert status == SUCCESS, status
            _, self._function = cuda.cuModuleGetFunction(self.module, one["symbol"].encode())

    def launch(self, addresses: dict[str, int], batch: int, stream: int) -> bool:
        """Put it on a stream: inputs, numbers, outputs."""
        one = self._one
        values = [
            *(ctypes.c_uint64(addresses[number]) for number in one["inputs"]),
            *(ctypes.c_int32(evaluate(plain, batch)) for plain in one["numbers"]),
            *(ctypes.c_uint64(addresses[number]) for number in one["outputs"]),
        ]
        places = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        grid = [evaluate(plain, batch) for plain in one["grid"]]
        with current():
            (status,) = cuda.cuLaunchKernel(
                self._function, *grid, *one["block"], one["shared"], stream, ctypes.addressof(places), 0
            )
        return bool(status == SUCCESS)


def free(memory: Memory, kernels: list[Kernel]) -> None:
    """Give everything back."""
    with current():
        for address in memory.addresses.values():
            cuda.cuMemFree(address)
        for kernel in kernels:
            cuda.cuModuleUnload(kernel.module)
            cuda.cuDevicePrimaryCtxRelease(0)

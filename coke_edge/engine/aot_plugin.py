"""A kernel in PTX as a plugin that TensorRT takes into an engine: `tensorrt.plugin`, ahead of time.

TensorRT asks for the shapes of the outputs and for the launch as expressions of the inputs' shapes, keeps both with the
PTX in the engine, and launches the kernel itself: neither Python nor Triton is there when the engine runs. It passes
pointers to the inputs, the int32 numbers, pointers to the outputs.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from coke_edge.engine.provider import DEVICE, MODULES, Provider
from coke_edge.errors import BackendError
from coke_edge.kernels.artifact import Binary

NAMESPACE = "coke"
OLDEST = (10, 9)  # the first TensorRT that takes plugins ahead of time
DTYPES = {"*fp32": "FLOAT", "*fp16": "HALF", "*i32": "INT32"}  # a parameter's type → TensorRT's name

Expression = Any  # trtp.ShapeExpr or int
Shape = tuple[Expression, ...]
Shapes = Mapping[str, Sequence[Expression]]  # of the inputs, by name


class Launch(NamedTuple):
    """What TensorRT computes for a launch from the shapes of the inputs."""

    grid: tuple[Expression, Expression, Expression]
    numbers: Mapping[str, Expression]  # the kernel's int32 arguments


class AotPlugin(NamedTuple):
    """A kernel, and what TensorRT has to know to launch it."""

    name: str
    binary: Binary
    ptx: bytes
    outputs: Callable[[Shapes], Mapping[str, Shape]]  # their shapes
    launch: Callable[[Any, Shapes], Launch]  # (trtp, shapes of the inputs)
    key: str  # two plugins of the same kernel with the same key launch it alike

    @property
    def inputs(self) -> list[str]:
        """The names of the pointers before the numbers."""
        return self._pointers()[0]

    @property
    def results(self) -> list[str]:
        """The names of the pointers after the numbers."""
        return self._pointers()[1]

    @property
    def numbers(self) -> list[str]:
        """The names of the numbers."""
        return [parameter.name for parameter in self.binary.parameters if parameter.type == "i32"]

    def _pointers(self) -> tuple[list[str], list[str]]:
        kinds = [parameter.type for parameter in self.binary.parameters]
        first, end = kinds.index("i32"), len(kinds) - kinds[::-1].index("i32")
        names = [parameter.name for parameter in self.binary.parameters]
        return names[:first], names[end:]


def open_module(provider: Provider) -> Any:
    """The module `tensorrt.plugin`. Raises BackendError if this TensorRT takes no plugins ahead of time."""
    version = tuple(int(part) for part in provider.version.split(".")[:2])
    if provider.name != DEVICE:
        raise BackendError(f"{provider.title} takes no plugins; --head kernels and --head standard need none")
    if version < OLDEST or not hasattr(provider.api, "QuickPluginCreationRequest"):
        oldest = ".".join(map(str, OLDEST))
        raise BackendError(
            f"{provider.title} takes no plugins ahead of time, which came with {oldest} (JetPack 7); --head kernels "
            "and --head standard need none"
        )
    return importlib.import_module(f"{MODULES[DEVICE]}.plugin")


def add(provider: Provider, network: Any, plugin: AotPlugin, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Put a plugin into a network, on these tensors by name; its outputs by name.

    Raises BackendError if this TensorRT takes no plugins ahead of time, or not this one.
    """
    make = definition(open_module(provider), plugin)
    layer = network.add_plugin(make(*(tensors[name] for name in plugin.inputs)), aot=True)
    if layer is None:
        raise provider.failure(f"does not take the plugin {NAMESPACE}::{plugin.name}")
    layer.name = f"{NAMESPACE}::{plugin.name}"
    return {name: layer.get_output(place) for place, name in enumerate(plugin.results)}


def definition(trtp: Any, plugin: AotPlugin) -> Any:
    """What makes instances of a plugin. TensorRT keeps it under a name for the life of the process.

    A name belongs to one kernel and one way to launch it, so that the plugins of several bundles live side by side.
    """
    content = hashlib.sha256(f"{plugin.binary.sha256} {plugin.key}".encode()).hexdigest()[:12]
    name = f"{plugin.name}_{content}"
    space = trtp.op.define_or_get(NAMESPACE)
    if not hasattr(space, name):
        identity = f"{NAMESPACE}::{name}"
        trtp.register(identity)(describing(trtp, plugin))
        trtp.aot_impl(identity)(launching(trtp, plugin))
    return getattr(space, name)


def describing(trtp: Any, plugin: AotPlugin) -> Callable[..., Any]:
    """The function that gives TensorRT the outputs. It reads names and types off the signature."""
    api = importlib.import_module(MODULES[DEVICE])
    kinds = {parameter.name: parameter.type for parameter in plugin.binary.parameters}

    def describe(*inputs: Any) -> Any:
        shapes = plugin.outputs(shapes_of(plugin, inputs))
        return tuple(
            trtp.from_shape_expr(tuple(shapes[name]), getattr(api.DataType, DTYPES[kinds[name]]))
            for name in plugin.results
        )

    returns = types.GenericAlias(tuple, (trtp.TensorDesc,) * len(plugin.results))
    return signed(describe, [*typed(trtp, plugin)], returns)


def launching(trtp: Any, plugin: AotPlugin) -> Callable[..., Any]:
    """The function that gives TensorRT the kernel and its launch."""

    def launch(*arguments: Any) -> Any:
        *inputs, _outputs, _tactic = arguments
        wanted = plugin.launch(trtp, shapes_of(plugin, inputs))
        parameters = trtp.KernelLaunchParams()
        parameters.grid_x, parameters.grid_y, parameters.grid_z = wanted.grid
        parameters.block_x = plugin.binary.block
        parameters.shared_mem = plugin.binary.shared_memory
        numbers = trtp.SymIntExprs(len(plugin.numbers))
        for place, name in enumerate(plugin.numbers):
            numbers[place] = trtp.SymInt32(wanted.numbers[name])
        return plugin.binary.symbol, plugin.ptx, parameters, numbers

    returns = tuple[str, bytes, trtp.KernelLaunchParams, trtp.SymIntExprs]
    others = [parameter("outputs"), parameter("tactic")]
    return signed(launch, [*typed(trtp, plugin), *others], returns)


def shapes_of(plugin: AotPlugin, inputs: Sequence[Any]) -> Shapes:
    """The shapes of a plugin's inputs by name."""
    return {name: tensor.shape_expr for name, tensor in zip(plugin.inputs, inputs, strict=True)}


def typed(trtp: Any, plugin: AotPlugin) -> list[inspect.Parameter]:
    """The inputs as parameters of a function."""
    return [parameter(name, trtp.TensorDesc) for name in plugin.inputs]


def parameter(name: str, kind: Any = inspect.Parameter.empty) -> inspect.Parameter:
    """A parameter as TensorRT wants it."""
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind)


def signed(
    function: Callable[..., Any], parameters: list[inspect.Parameter], returns: Any
) -> Callable[..., Any]:
    """The function, looking as if it had been written with these parameters."""
    function.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    return function

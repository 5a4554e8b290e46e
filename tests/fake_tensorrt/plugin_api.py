"""What the real `tensorrt.plugin` needs of `tensorrt`: expressions, plugin interfaces, descriptions, the registry.

`tensorrt.plugin` is plain Python in NVIDIA's wheel `tensorrt-cu13-bindings`; it says how a plugin must be written, and
answers what the library asks. So the real one runs here, over these stand-ins for the classes of the library; `load`
puts it beside a fake `tensorrt`. Names are those of the lists in `api/`.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .enums import DataType, TensorFormat
from .network import ITensor

DimensionOperation = enum.Enum(
    "DimensionOperation", "SUM PROD MAX MIN SUB EQUAL LESS FLOOR_DIV CEIL_DIV", module=__name__
)
PluginArgType = enum.Enum("PluginArgType", "INT", module=__name__)
PluginArgDataType = enum.Enum("PluginArgDataType", "INT8 INT16 INT32", module=__name__)
PluginFieldType = enum.Enum(
    "PluginFieldType",
    "FLOAT16 FLOAT32 FLOAT64 INT8 INT16 INT32 INT64 CHAR UNKNOWN",
    module=__name__,
)
QuickPluginCreationRequest = enum.Enum(
    "QuickPluginCreationRequest", "UNKNOWN PREFER_JIT PREFER_AOT STRICT_JIT STRICT_AOT", module=__name__
)
TensorRTPhase = enum.Enum("TensorRTPhase", "BUILD RUNTIME", module=__name__)
ARITHMETIC = {
    "SUM": lambda a, b: a + b,
    "SUB": lambda a, b: a - b,
    "PROD": lambda a, b: a * b,
    "MAX": max,
    "MIN": min,
    "FLOOR_DIV": lambda a, b: a // b,
    "CEIL_DIV": lambda a, b: -(-a // b),
}
BATCH = "batch"


@dataclasses.dataclass(frozen=True)
class IDimensionExpr:
    """A number, the batch, or an operation: `plain` is JSON."""

    plain: Any

    def is_constant(self) -> bool:
        return isinstance(self.plain, int)

    def get_constant_value(self) -> int:
        assert isinstance(self.plain, int)
        return self.plain


class IExprBuilder:
    """Makes expressions; those of constants are constants."""

    def constant(self, value: int) -> IDimensionExpr:
        assert -(2**31) <= value < 2**31
        return IDimensionExpr(int(value))

    def operation(self, op: Any, first: IDimensionExpr, second: IDimensionExpr) -> IDimensionExpr:
        plain = [op.name, first.plain, second.plain]
        if first.is_constant() and second.is_constant():
            return self.constant(evaluate(plain, 0))
        return IDimensionExpr(plain)


def evaluate(plain: Any, batch: int) -> int:
    """The value of an expression for a batch."""
    if isinstance(plain, int):
        return plain
    if plain == BATCH:
        return batch
    operation, first, second = plain
    return ARITHMETIC[operation](evaluate(first, batch), evaluate(second, batch))


class Dims(tuple):  # type: ignore[type-arg]
    """Lengths; of a number, so many zeros."""

    MAX_DIMS = 8

    def __new__(cls, lengths: Any = ()) -> Dims:
        return super().__new__(cls, (0,) * lengths if isinstance(lengths, int) else lengths)


class DimsExprs(list):  # type: ignore[type-arg]
    """So many expressions."""

    def __init__(self, lengths: Any) -> None:
        super().__init__([None] * lengths if isinstance(lengths, int) else lengths)


@dataclasses.dataclass
class PluginTensorDesc:
    """A tensor as a plugin meets it."""

    dims: Sequence[int] = ()
    type: DataType | None = None
    format: TensorFormat | None = None
    scale: float = 1.0


@dataclasses.dataclass
class DynamicPluginTensorDesc:
    """The same with the range of its lengths."""

    desc: PluginTensorDesc = dataclasses.field(default_factory=PluginTensorDesc)
    min: Sequence[int] = ()
    max: Sequence[int] = ()
    opt: Sequence[int] = ()


@dataclasses.dataclass
class PluginField:
    """An attribute."""

    name: str
    data: Any
    type: Any


class PluginFieldCollection(list):  # type: ignore[type-arg]
    """Attributes."""


class IPluginRegistry:
    """Creators by name, version and namespace."""

    def __init__(self) -> None:
        self._creators: dict[tuple[str, str, str], Any] = {}

    def register_creator(self, creator: Any, namespace: str) -> bool:
        return (
            self._creators.setdefault((creator.name, creator.plugin_version, namespace), creator) is creator
        )

    def get_creator(self, name: str, version: str, namespace: str) -> Any:
        return self._creators.get((name, version, namespace))


class KernelLaunchParams:
    """Filled by the plugin."""

    grid_x: Any
    grid_y: Any
    grid_z: Any
    block_x: Any
    block_y: Any
    block_z: Any
    shared_mem: Any


class ISymExprs(dict):  # type: ignore[type-arg]
    """Filled by the plugin: place → ISymExpr."""

    nbSymExprs = 0  # noqa: N815


class ISymExpr:
    """A typed number."""

    type: Any
    dtype: Any
    expr: Any


class Logger:
    """Says nothing."""

    WARNING = 2

    def log(self, severity: int, text: str) -> None:
        pass


def interface(name: str) -> type:
    """A class to be derived from."""
    return type(name, (), {})


INTERFACES = (
    "IPluginV3", "IPluginV3QuickCore", "IPluginV3QuickBuild", "IPluginV3QuickAOTBuild", "IPluginV3QuickRuntime",
    "IPluginCreatorV3Quick",
)  # fmt: skip
CLASSES: tuple[Any, ...] = (
    DimensionOperation, PluginArgType, PluginArgDataType, PluginFieldType, QuickPluginCreationRequest, TensorRTPhase,
    IDimensionExpr, IExprBuilder, Dims, DimsExprs, PluginTensorDesc, DynamicPluginTensorDesc, PluginField,
    PluginFieldCollection, KernelLaunchParams, ISymExprs, ISymExpr, Logger, ITensor,
)  # fmt: skip


def folder() -> Path | None:
    """Where the wheel keeps `tensorrt.plugin`; None if it is not installed."""
    found = importlib.util.find_spec("tensorrt_bindings")
    places = found.submodule_search_locations if found else None
    return Path(places[0]) / "plugin" if places else None


def load(module: types.ModuleType, source: Path) -> types.ModuleType:
    """Give a fake `tensorrt`, which is in sys.modules, the real `tensorrt.plugin` from a folder."""
    registry = IPluginRegistry()
    for name in INTERFACES:
        setattr(module, name, interface(name))
    for one in CLASSES:
        setattr(module, one.__name__, one)
    module.get_plugin_registry = lambda: registry  # type: ignore[attr-defined]
    module.float32, module.int32 = DataType.FLOAT, DataType.INT32  # type: ignore[attr-defined]
    unload()
    spec = importlib.util.spec_from_file_location(
        "tensorrt.plugin", source / "__init__.py", submodule_search_locations=[str(source)]
    )
    assert spec is not None
    assert spec.loader is not None
    plugin = sys.modules["tensorrt.plugin"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    return plugin


def unload() -> None:
    """Forget `tensorrt.plugin` and its parts."""
    for name in [name for name in sys.modules if name.split(".")[:2] == ["tensorrt", "plugin"]]:
        del sys.modules[name]

"""Builders: a network and a profile become bytes."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Callable
from typing import Any

import onnx

from .enums import NetworkDefinitionCreationFlag, ProfilingVerbosity
from .gpu import gpu_name
from .network import INetworkDefinition

PUBLIC = ("Builder", "ILogger", "IProgressMonitor")
MAGIC = b"fake engine\n"
Severity = enum.IntEnum("Severity", {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4})


@dataclasses.dataclass
class State:
    """What the objects of one fake module share, and what a test may set or look at."""

    version: str
    fake_cuda: Any
    unsupported: set[str] = dataclasses.field(default_factory=set)  # operators that the parser refuses
    at_step: Callable[[], None] | None = None  # called at each step of a build
    builds: list[bytes] = dataclasses.field(default_factory=list)  # the timing cache that each began with


def bound(thing: Any, state: State) -> Any:
    """A class of this package as the module's own: with its state."""
    if isinstance(thing, type) and not issubclass(thing, enum.Enum):
        return type(thing.__name__, (thing,), {"_state": state})
    return thing


class ILogger:
    """To be derived from."""

    Severity = Severity
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class IProgressMonitor:
    """To be derived from."""


class IHostMemory(bytes):
    """Bytes from the library."""

    nbytes = property(len)


class ITimingCache:
    """Measurements: a line that says of what, then a letter for each build."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def serialize(self) -> IHostMemory:
        return IHostMemory(self._content)


class IOptimizationProfile:
    """Shapes by input: smallest, typical, largest."""

    def __init__(self) -> None:
        self._shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        assert len(shapes) == 3
        self._shapes[name] = shapes


class IBuilderConfig:
    """How to build."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._profiles: list[IOptimizationProfile] = []
        self._timings: ITimingCache | None = None
        self._flags = {7}
        self._workspace: int | None = None
        self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
        self.progress_monitor: Any = None

    def clear_flag(self, flag: int) -> None:
        self._flags.discard(int(flag))

    def set_memory_pool_limit(self, pool: int, size: int) -> None:
        self._workspace = size

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, content: bytes) -> ITimingCache | None:
        return ITimingCache(content or self._signature())

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        fits = cache._content.startswith(self._signature())
        if fits:
            self._timings = cache
        return fits

    def get_timing_cache(self) -> ITimingCache | None:
        return self._timings

    def _signature(self) -> bytes:
        return f"timings of {self._state.version} on {gpu_name()}\n".encode()


class Builder:
    """Network and config in, engine out."""

    _state: State

    def __init__(self, logger: ILogger) -> None:
        if not gpu_name():
            logger.log(Severity.ERROR, "CUDA initialization failure with error: 100")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger = logger

    def create_network(self, flags: int) -> INetworkDefinition:
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig(self._state)

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        self._state.builds.append(config._timings._content if config._timings else b"")
        try:
            formats = [tensor._format() for tensor in network._outputs]
            (profile,) = config._profiles
            shapes = {tensor.name: profile._shapes[tensor.name] for tensor in network._inputs}
        except (ValueError, KeyError) as error:
            self._logger.log(
                Severity.ERROR, f"IBuilder::buildSerializedNetwork: Error Code 3: API Usage Error ({error})"
            )
            return None
        if not self._work(network.num_layers, config.progress_monitor):
            self._logger.log(Severity.ERROR, "IBuilder::buildSerializedNetwork: Error Code 7: BuildCanceled")
            return None
        if config._timings:
            config._timings._content += b"+"
        header = {
            "version": self._state.version,
            "gpu": gpu_name(),
            "tf32": 7 in config._flags,
            "workspace": config._workspace,
            "detailed": config.profiling_verbosity == ProfilingVerbosity.DETAILED,
            "inputs": [[t.name, int(t.dtype), t.shape, shapes[t.name]] for t in network._inputs],
            "outputs": [
                [t.name, int(t.dtype), t.shape, int(layout), t._value]
                for t, layout in zip(network._outputs, formats, strict=True)
            ],
        }
        body = json.dumps(header).encode() + b"\n" + with_outputs(network)
        return IHostMemory(MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)

    def _work(self, steps: int, monitor: Any) -> bool:
        """Whether the monitor let it come to its end."""
        going = True
        if monitor:
            monitor.phase_start("Building engine", None, steps)
        for step in range(steps):
            if self._state.at_step:
                self._state.at_step()
            going = going and (not monitor or monitor.step_complete("Building engine", step))
        if monitor:
            monitor.phase_finish("Building engine")
        return going


def with_outputs(network: INetworkDefinition) -> bytes:
    """The graph with the network's outputs instead of its own."""
    model = onnx.ModelProto()
    model.CopyFrom(network._model)
    known = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    wanted = [known[tensor._value] for tensor in network._outputs]
    del model.graph.output[:]
    model.graph.output.extend(wanted)
    return model.SerializeToString()

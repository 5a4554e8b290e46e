"""Where the peaks come from: the kernels, on the engine's features; or the engine itself."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import numpy as np

from coke_edge.bundle import Bundle
from coke_edge.engine.context import Engine
from coke_edge.engine.plugin import PACKED
from coke_edge.engine.steps import Step
from coke_edge.errors import BackendError
from coke_edge.kernels.driver import Driver
from coke_edge.kernels.features import FeatureMaps
from coke_edge.kernels.gpu_head import GpuHead
from coke_edge.kernels.launch import Kernels
from coke_edge.kernels.packed import PEAK_WORDS, unpack
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.variants import match_name
from coke_edge.kernels.workspace import Workspace

NUMPY = {"fp32": np.float32, "int32": np.int32}


class Head(Protocol):
    """What the engine wrote in, peaks out. Not for two streams at once."""

    name: str  # what computes the peaks, for people
    engine: (
        str  # the stage of `backends.Staged` that the engine is: backbone, or network with the head inside it
    )
    addresses: dict[str, int]  # where the engine writes its outputs

    def steps(self, images: int) -> list[Step]:
        """Peaks of that many images, and their way to the host."""
        ...

    def peaks(self, images: int) -> Peaks:
        """Those of the last run, once its stream was synchronised."""
        ...

    def free(self) -> None:
        """Give the GPU's memory back; a second call does nothing."""
        ...


class KernelHead:
    """The match and peaks kernels, on features that the engine leaves in GPU memory."""

    engine = "backbone"

    def __init__(
        self, driver: Driver, kernels: Kernels, engine: Engine, bundle: Bundle, most: int, stream: int
    ) -> None:
        """Raises BackendError if the engine gives no features, KernelError for want of a kernel or memory."""
        outputs = [tensor for tensor in engine.tensors.values() if not tensor.is_input]
        tensor = outputs[0]
        if len(outputs) != 1 or len(tensor.shape) != 3:
            raise BackendError(
                f"the engine gives {', '.join(engine.tensors)} but no features: build it again"
            )
        maps = FeatureMaps.dense(tensor.dtype, tensor.layout, *tensor.shape)
        banks = bundle.banks()
        self._memory = Workspace(driver, {"features": most * tensor.bytes})
        try:
            self._head = GpuHead(
                driver,
                kernels,
                bundle.manifest.model.head,
                maps,
                banks["prototypes"],
                banks["clutter"],
                banks.get("counts"),
                stream=stream,
                images=most,
            )
        except BaseException:
            self._memory.free()
            raise
        self.addresses = {tensor.name: self._memory["features"]}
        self.name = f"kernel {match_name(maps.dtype, maps.layout, soft=True)}"

    def steps(self, images: int) -> list[Step]:
        """See `Head`."""
        return [
            Step("head", partial(self._head.enqueue, self._memory["features"], images)),
            Step("download", partial(self._head.download, images)),
        ]

    def peaks(self, images: int) -> Peaks:
        """See `Head`."""
        return self._head.peaks(images)

    def free(self) -> None:
        """See `Head`."""
        self._head.free()
        self._memory.free()


class EngineHead:
    """The head in standard operators, inside the engine: its outputs are the peaks."""

    name = "standard operators in the engine"
    engine = "network"

    def __init__(self, driver: Driver, engine: Engine, most: int) -> None:
        """Raises BackendError if the engine does not give peaks, KernelError if there is no memory."""
        outputs = {name: tensor for name, tensor in engine.tensors.items() if not tensor.is_input}
        if set(outputs) != set(Peaks._fields) or any(t.dtype not in NUMPY for t in outputs.values()):
            raise BackendError(f"the engine gives {', '.join(outputs)} where peaks belong: build it again")
        self._driver = driver
        self._host = {
            name: driver.pinned(most * tensor.bytes).view(NUMPY[tensor.dtype]).reshape(most, *tensor.shape)
            for name, tensor in outputs.items()
        }
        self._memory = Workspace(driver, {name: most * tensor.bytes for name, tensor in outputs.items()})
        self.addresses = {name: self._memory[name] for name in outputs}

    def steps(self, images: int) -> list[Step]:
        """See `Head`."""
        return [
            Step("download", partial(self._driver.download, host[:images], self.addresses[name]))
            for name, host in self._host.items()
        ]

    def peaks(self, images: int) -> Peaks:
        """See `Head`."""
        return Peaks(**{name: host[:images].copy() for name, host in self._host.items()})

    def free(self) -> None:
        """See `Head`."""
        self._memory.free()


class PluginHead:
    """The kernels inside the engine, as plugins: its output is the packed peaks."""

    name = "kernels in the engine"
    engine = "network"

    def __init__(self, driver: Driver, engine: Engine, most: int) -> None:
        """Raises BackendError if the engine does not give packed peaks, KernelError if there is no memory."""
        outputs = {name: tensor for name, tensor in engine.tensors.items() if not tensor.is_input}
        packed = outputs.get(PACKED)
        if (
            packed is None
            or len(outputs) != 1
            or packed.dtype != "int32"
            or packed.shape[2:] != (PEAK_WORDS,)
        ):
            raise BackendError(
                f"the engine gives {', '.join(outputs)} where packed peaks belong: build it again"
            )
        self._driver = driver
        self._host = driver.pinned(most * packed.bytes).view(np.int32).reshape(most, *packed.shape)
        self._memory = Workspace(driver, {PACKED: most * packed.bytes})
        self.addresses = {PACKED: self._memory[PACKED]}

    def steps(self, images: int) -> list[Step]:
        """See `Head`."""
        return [Step("download", partial(self._driver.download, self._host[:images], self.addresses[PACKED]))]

    def peaks(self, images: int) -> Peaks:
        """See `Head`."""
        return unpack(self._host[:images].copy())

    def free(self) -> None:
        """See `Head`."""
        self._memory.free()

"""An engine on the GPU, ready to be put on a stream."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from coke_edge.engine.inspection import Layers, inspect
from coke_edge.engine.provider import RTX, Provider
from coke_edge.errors import BackendError

DTYPES = {  # TensorRT's name → ours, and bytes of an element
    "UINT8": ("uint8", 1),
    "INT32": ("int32", 4),
    "INT64": ("int64", 8),
    "HALF": ("fp16", 2),
    "BF16": ("bf16", 2),
    "FLOAT": ("fp32", 4),
}
LAYOUTS = {"LINEAR": "nchw", "HWC": "nhwc", "HWC8": "nhwc"}  # of [B, C, H, W]; HWC8 if C is a multiple of 8


class Tensor(NamedTuple):
    """An input or output of an engine."""

    name: str
    is_input: bool
    dtype: str  # a name of ours in DTYPES
    shape: tuple[int, ...]  # without the batch
    layout: str  # a name of ours in LAYOUTS

    @property
    def bytes(self) -> int:
        """Of one element of the batch."""
        return math.prod(self.shape) * next(size for name, size in DTYPES.values() if name == self.dtype)


class Engine:
    """A deserialised engine, and the execution contexts that run it: one for each size of batch.

    What was captured into a CUDA graph stays valid only while its context keeps its shapes. The contexts take turns
    on one stream, so they share their scratch memory, which the caller gives.
    """

    def __init__(self, provider: Provider, content: bytes) -> None:
        """Raises BackendError if TensorRT refuses it, for example because another version wrote it."""
        self._provider = provider
        self._runtime = runtime = provider.make(provider.api.Runtime)  # must live as long as the engine
        self._engine = engine = runtime.deserialize_cuda_engine(content)
        if engine is None:
            raise provider.failure("cannot load the engine")
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        self.tensors = {name: self._tensor(name) for name in names}
        self.memory: int = engine.device_memory_size_v2  # bytes of scratch memory for any batch
        self._how: Any = None  # contexts are made

    def layers(self) -> Layers | None:
        """The precision of its layers; None if TensorRT tells nothing about them."""
        return inspect(self._provider, self._engine)

    def context(self, batch: int, addresses: Mapping[str, int], scratch: int) -> Context:
        """A context for batches of one size, its tensors at these device addresses.

        `scratch` is the address of `memory` bytes. Raises BackendError if TensorRT refuses.
        """
        self._provider.log.take()
        self._how = self._how or self._configured()
        context = self._engine.create_execution_context(self._how)
        if context is None:
            raise self._provider.failure("cannot make an execution context")
        context.set_device_memory(scratch, self.memory)
        for tensor in self.tensors.values():
            set_shape = not tensor.is_input or context.set_input_shape(tensor.name, (batch, *tensor.shape))
            if not set_shape or not context.set_tensor_address(tensor.name, addresses[tensor.name]):
                raise self._provider.failure(f"does not take {tensor.name} for a batch of {batch}")
        return Context(self._provider, context)

    def free(self) -> None:
        """Give the GPU's memory back; a second call does nothing. Its contexts must have gone before."""
        self._how = self._engine = self._runtime = None

    def _configured(self) -> Any:
        """How contexts are made: with memory that the caller gives."""
        api, engine = self._provider.api, self._engine
        strategy = api.ExecutionContextAllocationStrategy.USER_MANAGED
        if self._provider.name != RTX:
            return strategy
        # Left alone it compiles kernels for a shape beside the first runs and then changes over to them: a CUDA graph
        # would keep the slow ones that it was recorded with.
        runtime_config = engine.create_runtime_config()
        runtime_config.set_execution_context_allocation_strategy(strategy)
        eager = api.DynamicShapesKernelSpecializationStrategy.EAGER
        runtime_config.dynamic_shapes_kernel_specialization_strategy = eager
        return runtime_config

    def _tensor(self, name: str) -> Tensor:
        api, engine = self._provider.api, self._engine
        kind, layout = engine.get_tensor_dtype(name).name, engine.get_tensor_format(name).name
        if kind not in DTYPES or layout not in LAYOUTS:
            raise BackendError(
                f"the engine's {name} is {kind} in the format {layout}, which is not ours: build it again"
            )
        is_input = engine.get_tensor_mode(name) == api.TensorIOMode.INPUT
        return Tensor(
            name, is_input, DTYPES[kind][0], tuple(engine.get_tensor_shape(name))[1:], LAYOUTS[layout]
        )


class Context(NamedTuple):
    """An engine with its shapes and addresses set."""

    provider: Provider
    context: Any  # IExecutionContext

    def recordable(self, stream: int) -> bool:
        """Whether a run may be captured into a CUDA graph now, after one that was not.

        TensorRT for RTX tells: it cannot where a run takes memory of its own, which `build.py` asks it not to.
        """
        return self.provider.name != RTX or bool(self.context.is_stream_capturable(stream))

    def enqueue(self, stream: int) -> None:
        """Put one run on the stream; returns at once. Raises BackendError if TensorRT refuses."""
        if not self.context.execute_async_v3(stream):
            raise self.provider.failure("cannot run the engine")

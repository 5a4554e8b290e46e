"""Network → serialised engine. Takes minutes on a Jetson, so it reports its steps and can be stopped."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Protocol

from coke_edge.engine.network import end_at_features, parse, set_batch
from coke_edge.engine.plugin import PluginSource, end_at_peaks
from coke_edge.engine.provider import RTX, Provider
from coke_edge.engine.spec import EngineSpec
from coke_edge.errors import BackendError

MIB = 1 << 20
CAPABILITIES = (75, 80, 86, 89, 120, 121)  # that TensorRT for RTX can build for without the GPU


class Progress(Protocol):
    """Who is told what the builder does; called from any thread."""

    def start(self, phase: str, parent: str | None, steps: int) -> None: ...

    def step(self, phase: str, step: int) -> None: ...

    def finish(self, phase: str) -> None: ...


class TimingCache(Protocol):
    """Where measurements of earlier builds are kept."""

    def read(self) -> bytes: ...

    def write(self, content: bytes) -> None: ...


def build(
    provider: Provider,
    graph: bytes,
    spec: EngineSpec,
    *,
    workspace: int | None = None,  # MiB of GPU memory that a layer may use beside its tensors; None: no limit
    timing: TimingCache | None = None,
    progress: Progress | None = None,
    capability: int | None = None,  # with TensorRT for RTX: build for 8.9 (89) without that GPU
    plugin: PluginSource | None = None,  # for the head "plugin"
) -> bytes:
    """The engine of an ONNX graph, strongly typed: the precision is that of the graph, and fp32 is not TF32.

    Raises BackendError if TensorRT refuses the graph or fails; KeyboardInterrupt passes once the builder stopped.
    """
    api = provider.api
    builder = provider.make(api.Builder)
    network, parser = parse(provider, builder, graph, spec.graph)
    if spec.head == "kernels":
        end_at_features(provider, network, spec)
    constants = end_at_peaks(provider, network, spec, plugin) if plugin else []
    config = builder.create_builder_config()
    config.clear_flag(api.BuilderFlag.TF32)
    if provider.name == RTX:
        config.set_flag(
            api.BuilderFlag.REQUIRE_USER_ALLOCATION
        )  # else a run cannot be captured into a CUDA graph
    config.profiling_verbosity = api.ProfilingVerbosity.DETAILED  # for `inspection.py`
    if workspace is not None:
        config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, workspace * MIB)
    if capability is not None:
        aim(provider, config, capability)
    set_batch(builder, network, config, spec.batch)
    cancelled = threading.Event()
    config.progress_monitor = monitor = make_monitor(api, progress, cancelled)
    # TensorRT for RTX compiles its kernels where they run and measures nothing.
    keep = timing if provider.name != RTX else None
    if keep:
        load_timings(config, keep.read())
    provider.log.take()
    serialised = run_apart(lambda: builder.build_serialized_network(network, config), cancelled)
    del parser, monitor, constants  # they had to live until here
    if serialised is None:
        raise provider.failure(f"cannot build an engine of {spec.graph}")
    if keep and (cache := config.get_timing_cache()):
        keep.write(bytes(memoryview(cache.serialize())))
    return bytes(memoryview(serialised))


def aim(provider: Provider, config: Any, capability: int) -> None:
    """Build for a compute capability instead of the GPU that is here. Raises BackendError if that cannot be done."""
    if provider.name != RTX:
        raise BackendError(
            f"{provider.title} builds for the GPU that is here and no other; tensorrt-rtx can aim at one"
        )
    if capability not in CAPABILITIES:
        known = ", ".join(f"{c / 10:.1f}" for c in CAPABILITIES)
        raise BackendError(
            f"{provider.title} cannot build for compute capability {capability / 10:.1f}, only for {known}"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(provider.api.ComputeCapability, f"SM{capability}"), 0)


def load_timings(config: Any, content: bytes) -> None:
    """Give the builder the measurements of earlier builds; it starts afresh if they are of another GPU or version."""
    for candidate in (content, b""):
        cache = config.create_timing_cache(candidate)
        if cache and config.set_timing_cache(cache, False):
            return


def make_monitor(api: Any, progress: Progress | None, cancelled: threading.Event) -> Any:
    """The builder's view of `progress`; tells it to stop once `cancelled` is set."""

    class Monitor(api.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if progress:
                progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if progress:
                progress.step(phase_name, step)
            return not cancelled.is_set()

        def phase_finish(self, phase_name: str) -> None:
            if progress:
                progress.finish(phase_name)

    return Monitor()


def run_apart(work: Callable[[], Any], cancelled: threading.Event) -> Any:
    """What `work` returns, computed in a thread: an exception of Ctrl-C must not run through TensorRT's C++ code.

    At KeyboardInterrupt it is told to stop, waited for, and the exception goes on.
    """
    result: list[Any] = []
    failed: list[BaseException] = []
    ended = threading.Event()

    def target() -> None:
        try:
            result.append(work())
        except BaseException as error:  # raised again in the caller's thread
            failed.append(error)
        finally:
            ended.set()

    # An Event, since Thread.join forgets a running thread when Ctrl-C interrupts it (Python below 3.13).
    thread = threading.Thread(target=target, name="tensorrt-build")
    try:
        thread.start()
        wait(ended)
    except KeyboardInterrupt:
        cancelled.set()
        while thread.ident is not None and not ended.is_set():
            with contextlib.suppress(KeyboardInterrupt):  # asked for already
                wait(ended)
        raise
    if failed:
        raise failed[0]
    return result[0]


def wait(ended: threading.Event) -> None:
    """Until it is set; in short steps, between which Ctrl-C is heard on every platform."""
    while not ended.wait(0.2):
        pass

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from coke_edge.bundle import Bundle
from coke_edge.engine.build import build
from coke_edge.engine.context import Context, Engine
from coke_edge.engine.provider import Provider
from coke_edge.engine.spec import Batch, EngineSpec
from coke_edge.errors import BackendError
from coke_edge.kernels.driver import Driver, open_driver
from coke_edge.kernels.workspace import Workspace


@pytest.fixture
def driver(fake_cuda: Any) -> Iterator[Driver]:
    driver = open_driver("cuda-python")
    yield driver
    driver.close()


@pytest.fixture
def engine(trt: Provider, colours: Bundle) -> Iterator[Engine]:
    """Of the colour model, for two to four crops."""
    spec = EngineSpec("fp32", "standard", Batch(2, 2, 4))
    engine = Engine(trt, build(trt, colours.read("model.fp32.onnx"), spec))
    yield engine
    engine.free()
    engine.free()


def memory(driver: Driver, engine: Engine) -> Workspace:
    sizes = {name: 4 * tensor.bytes for name, tensor in engine.tensors.items()}
    return Workspace(driver, {**sizes, "scratch": engine.memory})


def test_a_run_reads_and_writes_the_addresses(fake_cuda: Any, driver: Driver, engine: Engine) -> None:
    buffers, stream = memory(driver, engine), driver.stream()
    addresses = {name: buffers[name] for name in engine.tensors}
    image = driver.pinned(3 * engine.tensors["image"].bytes)
    image[:] = np.random.default_rng(0).integers(0, 256, image.size)
    driver.upload(addresses["image"], image, stream)
    engine.context(3, addresses, buffers["scratch"]).enqueue(stream)
    index = driver.pinned(3 * engine.tensors["index"].bytes).view(np.int32)
    driver.download(index, addresses["index"], stream)
    driver.synchronize(stream)
    assert ((index >= 0) & (index < 96)).all()
    assert len(set(index.tolist())) > 1


@pytest.mark.parametrize("batch", [1, 5])
def test_a_batch_outside_the_profile(driver: Driver, engine: Engine, batch: int) -> None:
    buffers = memory(driver, engine)
    with pytest.raises(
        BackendError, match=f"does not take image for a batch of {batch}: .*Static dimension mismatch"
    ):
        engine.context(batch, {name: buffers[name] for name in engine.tensors}, buffers["scratch"])


def test_the_first_run_cannot_be_recorded_and_says_so(driver: Driver, engine: Engine) -> None:
    buffers, stream = memory(driver, engine), driver.stream()
    context = engine.context(2, {name: buffers[name] for name in engine.tensors}, buffers["scratch"])
    with (
        pytest.raises(BackendError, match=r"cannot run the engine: .*cannot be captured"),
        driver.capture(stream),
    ):
        context.enqueue(stream)
    context.enqueue(stream)
    with driver.capture(stream) as graphs:
        context.enqueue(stream)
    graphs[0].free()
    driver.synchronize(stream)


@pytest.mark.parametrize("content", [b"", b"garbage", b"ftrt" + bytes(1000)])
def test_what_is_no_engine(trt: Provider, content: bytes) -> None:
    with pytest.raises(BackendError, match=r"TensorRT 10\.3\.0 cannot load the engine: .*magicTag mismatch"):
        Engine(trt, content)


def test_tensorrt_for_rtx_compiles_its_kernels_before_it_is_recorded(trt: Provider) -> None:
    """Names and defaults are those of the real package; without a GPU an engine of it cannot be loaded."""
    rtx = pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is for x86-64 Linux here")
    asked: list[Any] = []
    config = SimpleNamespace(set_execution_context_allocation_strategy=asked.append)
    engine = object.__new__(Engine)
    engine._provider = trt._replace(name="tensorrt-rtx", api=rtx)
    engine._engine = SimpleNamespace(create_runtime_config=lambda: config)
    assert engine._configured() is config
    assert asked == [rtx.ExecutionContextAllocationStrategy.USER_MANAGED]
    strategies = rtx.DynamicShapesKernelSpecializationStrategy
    assert config.dynamic_shapes_kernel_specialization_strategy == strategies.EAGER


def test_tensorrt_for_rtx_says_when_it_can_be_recorded(trt: Provider) -> None:
    busy = SimpleNamespace(is_stream_capturable=lambda stream: False)
    assert Context(trt, busy).recordable(7)
    assert not Context(trt._replace(name="tensorrt-rtx"), busy).recordable(7)

from __future__ import annotations

import json
import signal
import threading
import time
from typing import Any

import onnx
import pytest

from coke_edge.bundle import Bundle
from coke_edge.engine.build import build
from coke_edge.engine.context import Engine
from coke_edge.engine.network import CAST, FEATURES
from coke_edge.engine.provider import Provider
from coke_edge.engine.spec import Batch, EngineSpec
from coke_edge.errors import BackendError
from coke_edge.kernels.reference import Peaks

STANDARD = EngineSpec("fp32", "standard", Batch(1, 2, 4))


class Timings:
    """A timing cache in memory."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = content

    def read(self) -> bytes:
        return self.content

    def write(self, content: bytes) -> None:
        self.content = content


class Watch:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        self.told.append(("start", phase, parent, steps))

    def step(self, phase: str, step: int) -> None:
        self.told.append(("step", phase, step))

    def finish(self, phase: str) -> None:
        self.told.append(("finish", phase))


@pytest.fixture
def graph(colours: Bundle) -> bytes:
    return colours.read("model.fp32.onnx")


def header(engine: bytes) -> dict[str, Any]:
    """What the fake TensorRT was asked to build."""
    found: dict[str, Any] = json.loads(engine.split(b"\n")[2])
    return found


def test_the_whole_graph(trt: Provider, graph: bytes) -> None:
    engine = Engine(trt, build(trt, graph, STANDARD))
    assert list(engine.tensors) == ["image", *Peaks._fields]
    image = engine.tensors["image"]
    assert (image.dtype, image.shape, image.is_input, image.bytes) == (
        "uint8",
        (64, 96, 3),
        True,
        64 * 96 * 3,
    )
    assert engine.tensors["index"].dtype == "int32"


def test_up_to_the_features_channels_last(trt: Provider, graph: bytes) -> None:
    for precision, name, dtype, layout in (("fp32", FEATURES, "fp32", 8), ("fp16", CAST, "fp16", 2)):
        serialised = build(trt, graph, EngineSpec(precision, "kernels"))
        features = Engine(trt, serialised).tensors[name]
        assert (features.dtype, features.layout, features.shape) == (dtype, "nhwc", (3, 8, 12))
        assert [output[3] for output in header(serialised)["outputs"]] == [layout]


def test_a_graph_without_features(trt: Provider, graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["activations" if name == "features" else name for name in names]
    with pytest.raises(
        BackendError, match=r"model\.fp32\.onnx has no tensor called features; export it again"
    ):
        build(trt, model.SerializeToString(), EngineSpec("fp32", "kernels"))


def test_profile_flags_and_workspace(trt: Provider, graph: bytes) -> None:
    asked = header(build(trt, graph, STANDARD, workspace=64))
    assert asked["inputs"][0][3] == [[1, 64, 96, 3], [2, 64, 96, 3], [4, 64, 96, 3]]
    assert (asked["tf32"], asked["detailed"], asked["workspace"]) == (False, True, 64 << 20)
    assert header(build(trt, graph, STANDARD))["workspace"] is None


def test_a_fixed_batch_is_refused(trt: Provider, graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(BackendError, match=r"image is \[1, 64, 96, 3\], not a batch"):
        build(trt, model.SerializeToString(), STANDARD)


def test_timings_are_used_again_and_bad_ones_left(trt: Provider, fake_tensorrt: Any, graph: bytes) -> None:
    kept = Timings()
    build(trt, graph, STANDARD, timing=kept)
    first = kept.content
    build(trt, graph, STANDARD, timing=kept)
    assert fake_tensorrt._state.builds[1] == first
    assert len(kept.content) == len(first) + 1
    spoilt = Timings(b"timings of another GPU")
    build(trt, graph, STANDARD, timing=spoilt)
    assert spoilt.content == first


def test_parser_errors_name_the_node(trt: Provider, fake_tensorrt: Any, graph: bytes) -> None:
    fake_tensorrt._state.unsupported.add("AveragePool")
    model = onnx.load_from_string(graph)
    next(node for node in model.graph.node if node.op_type == "AveragePool").name = "pool_7"
    with pytest.raises(BackendError) as caught:
        build(trt, model.SerializeToString(), STANDARD)
    said = "the node pool_7 (AveragePool) is an operator that it does not support"
    assert str(caught.value) == f"TensorRT 10.3.0 cannot take model.fp32.onnx: {said}"
    with pytest.raises(BackendError, match=r"cannot take model\.fp32\.onnx: Failed to parse the ONNX model$"):
        build(trt, b"no graph", STANDARD)


def test_the_builder_fails_in_its_own_words(
    trt: Provider, monkeypatch: pytest.MonkeyPatch, graph: bytes
) -> None:
    from coke_edge.engine import build as module

    monkeypatch.setattr(module, "set_batch", lambda builder, network, config, batch: config._profiles.append(
        builder.create_optimization_profile()))  # fmt: skip
    with pytest.raises(
        BackendError, match=r"cannot build an engine of model\.fp32\.onnx: IBuilder::.*'image'"
    ):
        build(trt, graph, STANDARD)


def test_progress_is_told(trt: Provider, graph: bytes) -> None:
    watch = Watch()
    build(trt, graph, STANDARD, progress=watch)
    assert watch.told[0] == ("start", "Building engine", None, len(watch.told) - 2)
    assert watch.told[1:3] == [("step", "Building engine", 0), ("step", "Building engine", 1)]
    assert watch.told[-1] == ("finish", "Building engine")


def test_interrupt_stops_the_builder(trt: Provider, fake_tensorrt: Any, graph: bytes) -> None:
    watch, kept = Watch(), Timings()
    interrupted: list[bool] = []

    def at_step() -> None:
        if not interrupted:
            interrupted.append(True)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.5)  # until the main thread has heard it; a real build goes on for minutes

    fake_tensorrt._state.at_step = at_step
    with pytest.raises(KeyboardInterrupt):
        build(trt, graph, STANDARD, progress=watch, timing=kept)
    assert watch.told[-1] == ("finish", "Building engine"), "the builder has ended before we go on"
    assert kept.content == b""


def test_aiming_at_another_gpu_needs_tensorrt_for_rtx(trt: Provider, graph: bytes) -> None:
    with pytest.raises(BackendError, match="builds for the GPU that is here and no other"):
        build(trt, graph, STANDARD, capability=89)

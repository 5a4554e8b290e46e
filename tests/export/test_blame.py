"""Break a layer on purpose: the gate fails and names exactly that one."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from coke_edge.errors import ExportError
from coke_edge.export.banks import Banks
from coke_edge.export.blame import blame, layer_errors
from coke_edge.export.crops import Crop
from coke_edge.export.expected import Expected, torch_results
from coke_edge.export.gate import compare, onnx_runtime, require, run_as_on_gpu
from coke_edge.export.graph import serialise
from coke_edge.export.precision.body import split_body
from coke_edge.export.precision.fp8 import to_fp8
from coke_edge.export.precision.fp16 import to_fp16
from coke_edge.export.precision.int8 import to_int8, to_uint8
from coke_edge.export.precision.ranges import activation_ranges
from coke_edge.export.verdict import LIMITS, Verdict
from coke_edge.train.checkpoint import Checkpoint

Images = NDArray[np.uint8]


@pytest.fixture(scope="module")
def expected(checkpoint: Checkpoint, images: Images) -> list[Expected]:
    crops = [Crop(f"{i}.png", image) for i, image in enumerate(images)]
    return torch_results(checkpoint.model, checkpoint.spec, Banks.of(checkpoint.model), crops)


def scaled(graph: onnx.ModelProto, factors: dict[str, float]) -> onnx.ModelProto:
    """The graph with some initialisers multiplied."""
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    held = {i.name: i for i in changed.graph.initializer}
    for name, factor in factors.items():
        values = numpy_helper.to_array(held[name])
        held[name].CopyFrom(numpy_helper.from_array(values * values.dtype.type(factor), name))
    return changed


def verdict_of(
    graph: onnx.ModelProto, expected: list[Expected], checkpoint: Checkpoint, gpu: bool
) -> Verdict:
    run = run_as_on_gpu(graph) if gpu else onnx_runtime(serialise(graph))
    return compare(expected, run, checkpoint.spec, LIMITS["int8"])


@pytest.mark.parametrize(
    ("convert", "gpu"), [(to_int8, True), (to_uint8, False), (to_fp8, True)], ids=["int8", "uint8", "fp8"]
)
@pytest.mark.parametrize("layer", ["backbone.blocks.1.0.conv_exp", "neck.lateral.1.0"])
def test_bad_scales_fail_the_gate_with_the_layers_name(
    float32_graph: onnx.ModelProto,
    images: Images,
    expected: list[Expected],
    checkpoint: Checkpoint,
    convert: Callable[..., onnx.ModelProto],
    gpu: bool,
    layer: str,
) -> None:
    good = convert(float32_graph, activation_ranges(split_body(float32_graph), images))
    bad = scaled(good, {f"{weight_of(float32_graph, layer)}_scale": 10.0})
    verdict = verdict_of(bad, expected, checkpoint, gpu)
    assert not verdict.passed
    found = blame(float32_graph, bad, images[:3])
    assert found is not None
    assert found.layer == layer
    assert found.error > 3 * found.next_error
    with pytest.raises(
        ExportError, match=f"the layer to blame is {layer}, whose output is .*% off by itself"
    ):
        require("int8", msgspec.structs.replace(verdict, blame=found))


def weight_of(graph: onnx.ModelProto, layer: str) -> str:
    return next(str(node.input[1]) for node in graph.graph.node if node.name == layer)


def test_a_bad_scale_of_an_activation_is_seen_where_it_is_read(
    float32_graph: onnx.ModelProto, images: Images
) -> None:
    good = to_int8(float32_graph, activation_ranges(split_body(float32_graph), images))
    (reader,) = (node for node in float32_graph.graph.node if node.name == "neck.context.0.1.pointwise")
    found = blame(float32_graph, scaled(good, {f"{reader.input[0]}_scale": 0.05}), images[:3])
    assert found is not None
    assert found.layer == "neck.context.0.1.pointwise"


def test_an_overflow_in_float16_is_named_where_it_begins(
    float32_graph: onnx.ModelProto, images: Images, expected: list[Expected], checkpoint: Checkpoint
) -> None:
    # The factors cancel: in float32 the features stay what they are.
    layer, after = "neck.context.1.0.depthwise", "neck.context.1.0.pointwise"
    nodes = {node.name: node for node in float32_graph.graph.node}
    factors = dict.fromkeys(nodes[layer].input[1:], 1000000.0)
    graph = scaled(float32_graph, {**factors, nodes[after].input[1]: 1e-6})
    exact = compare(expected, onnx_runtime(serialise(graph)), checkpoint.spec, LIMITS["fp32"])
    assert exact.passed
    half = to_fp16(graph)
    verdict = verdict_of(half, expected, checkpoint, gpu=True)
    assert verdict.missing
    found = blame(graph, half, images[:3])
    assert found is not None
    assert (found.layer, found.error) == (layer, float("inf"))
    culprits = msgspec.structs.replace(verdict, blame=found).culprits()
    assert f"the layer to blame is {layer}, whose output is not finite; the worst images are" in culprits


def test_an_equal_graph_has_no_errors(float32_graph: onnx.ModelProto, images: Images) -> None:
    errors = layer_errors(float32_graph, float32_graph, images[:1])
    assert {"stem", "neck.project"} <= errors.keys()
    assert max(errors.values()) < 1e-5

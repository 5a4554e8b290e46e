"""The graph of a whole model against torch, and what must and must not stand in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch

import coke_edge
from coke_edge.export import graph as module
from coke_edge.export.banks import Banks
from coke_edge.export.graph import build_graph, serialise
from coke_edge.kernels import torch_reference
from coke_edge.kernels.reference import Peaks
from coke_edge.train.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def graph(checkpoint: Checkpoint) -> onnx.ModelProto:
    return build_graph(checkpoint.model, checkpoint.spec, Banks.of(checkpoint.model))


def noise(batch: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (batch, 64, 96, 3), dtype=np.uint8)


def run(model: onnx.ModelProto, image: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(serialise(model), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"image": image}))


@pytest.mark.parametrize("batch", [1, 3])
def test_equals_torch(checkpoint: Checkpoint, graph: onnx.ModelProto, batch: int) -> None:
    image = noise(batch)
    model = checkpoint.model
    features = model.features(torch.from_numpy(image))
    expected = torch_reference.match(features, model.prototypes, model.clutter, checkpoint.spec.head)
    for actual, tensor in zip(run(graph, image), expected, strict=True):
        assert actual.dtype == tensor.numpy().dtype
        np.testing.assert_allclose(actual, tensor.numpy(), atol=1e-5)


@pytest.mark.parametrize("rule", ["similarity", "margin"])
def test_other_rules_peaks_and_counts(checkpoint: Checkpoint, exported_once: None, rule: Any) -> None:
    head = dataclasses.replace(checkpoint.spec.head, rule=rule, peaks=3)
    spec = msgspec.structs.replace(checkpoint.spec, head=head)
    banks = dataclasses.replace(Banks.of(checkpoint.model), counts=np.arange(1, 25, dtype=np.float32))
    image = noise(2)
    features = checkpoint.model.features(torch.from_numpy(image))
    tensors = {name: torch.from_numpy(array) for name, array in banks.arrays().items()}
    expected = torch_reference.match(features, head=head, **tensors)
    for actual, tensor in zip(run(build_graph(checkpoint.model, spec, banks), image), expected, strict=True):
        np.testing.assert_allclose(actual, tensor.numpy(), atol=1e-5)


def test_interface(checkpoint: Checkpoint, graph: onnx.ModelProto) -> None:
    (image,) = graph.graph.input
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    dims = image.type.tensor_type.shape.dim
    assert (dims[0].dim_param, [d.dim_value for d in dims[1:]]) == ("batch", [64, 96, 3])
    assert tuple(output.name for output in graph.graph.output) == Peaks._fields
    (node,) = (node for node in graph.graph.node if node.domain)
    assert (node.domain, node.op_type, node.input[0]) == ("coke", "Match", "features")
    assert {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} == {
        "rule": b"log_odds",
        "temperature": pytest.approx(0.07),
        "clutter_weight": pytest.approx(0.005),
        "peaks": 1,
    }
    features = {value.name: value for value in graph.graph.value_info}["features"]
    assert [d.dim_value for d in features.type.tensor_type.shape.dim[1:]] == [16, 8, 12]


def test_batchnorm_is_folded_and_the_input_chain_is_short(graph: onnx.ModelProto) -> None:
    operators = [node.op_type for node in graph.graph.node]
    assert "BatchNormalization" not in operators
    assert operators[: operators.index("Conv")] == ["Cast", "Transpose", "Sub"]


def test_names_are_unique_and_say_where_a_layer_is(graph: onnx.ModelProto) -> None:
    names = [node.name for node in graph.graph.node]
    assert len(set(names)) == len(names)
    assert {"stem", "neck.project", "match"} <= set(names)
    held = {initialiser.name for initialiser in graph.graph.initializer}
    used = {name for node in graph.graph.node for name in node.input}
    assert held <= used


def test_the_folded_input_gives_the_same_features(
    checkpoint: Checkpoint, exported_features: ir.Model
) -> None:
    """Also at the border, where the stem pads with zeros: black, white and noise."""
    module.fold_normalisation(exported_features.graph)
    image = np.concatenate(
        [noise(1), np.zeros((1, 64, 96, 3), np.uint8), np.full((1, 64, 96, 3), 255, np.uint8)]
    )
    expected = checkpoint.model.features(torch.from_numpy(image)).numpy()
    (actual,) = run(ir.to_proto(exported_features), image)
    np.testing.assert_allclose(actual, expected, atol=2e-5 * np.abs(expected).max())


def test_a_graph_that_begins_otherwise_is_left_alone(exported_features: ir.Model) -> None:
    flip = next(node for node in exported_features.graph if node.op_type == "Slice")
    flip.op_type = "Identity"
    before = [node.op_type for node in exported_features.graph]
    module.fold_normalisation(exported_features.graph)
    assert [node.op_type for node in exported_features.graph] == before


def test_same_checkpoint_same_bytes_without_a_trace_of_the_machine(
    checkpoint: Checkpoint, graph: onnx.ModelProto
) -> None:
    data = serialise(graph)
    again = build_graph(checkpoint.model, checkpoint.spec, Banks.of(checkpoint.model))
    assert serialise(again) == data
    for trace in (str(Path(coke_edge.__file__).parents[1]).encode(), b".py", b"stack_trace", b"pkg."):
        assert trace not in data
    assert (graph.producer_name, graph.producer_version) == ("coke-edge", coke_edge.__version__)

"""Checkpoint → one ONNX graph: uint8 crops in, peaks out.

torch exports the features; the head is added as one node (`head.py`). The tensor `features` keeps its name,
so that a runtime with a head of its own can take the graph up to there. The same checkpoint gives the same
bytes.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn

import coke_edge
from coke_edge.export import head
from coke_edge.export.banks import Banks
from coke_edge.kernels.reference import Peaks
from coke_edge.manifest import ModelSpec
from coke_edge.train.model import CokeModel

IMAGE, FEATURES, BATCH = "image", "features", "batch"
IR_VERSION = 10


class Features(nn.Module):
    """The part of the model that torch exports."""

    def __init__(self, network: CokeModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """uint8 BGR [B, H, W, 3] → float32 [B, C, H/stride, W/stride]."""
        return self.network.features(image).float()


def build_graph(network: CokeModel, spec: ModelSpec, banks: Banks) -> onnx.ModelProto:
    """The graph of the whole model, checked by onnx.

    Input: `image` uint8 [B, height, width, 3] BGR, B dynamic. Outputs: those of `kernels.reference.Peaks`.
    `network` is in evaluation mode and on the CPU.
    """
    model = export_features(network, spec)
    fold_normalisation(model.graph)
    tidy(model)
    append_head(model, spec, banks)
    ClearMetadataAndDocStringPass()(model)  # torch records paths and stack traces
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def serialise(graph: onnx.ModelProto) -> bytes:
    """The bytes of a graph, always the same for the same graph."""
    return bytes(graph.SerializeToString(deterministic=True))


def export_features(network: CokeModel, spec: ModelSpec) -> ir.Model:
    """The graph from `image` to `features`, BatchNorm folded into the convolutions."""
    image = torch.zeros(2, spec.input.height, spec.input.width, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own deprecations: nothing that a user could change
        program = torch.onnx.export(
            Features(network).eval(),
            (image,),
            input_names=[IMAGE],
            output_names=[FEATURES],
            opset_version=head.OPSET,
            dynamic_shapes={IMAGE: {0: BATCH}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model


def fold_normalisation(graph: ir.Graph) -> None:
    """Fold the change from BGR to RGB and the division by the deviation into the first convolution.

    Both leave a zero what it is, and so the padding of the convolution. The mean is still subtracted first:
    folded into the bias it would be wrong at the border. A graph that does not begin with this chain stays as
    it is.
    """
    chain = [graph.inputs[0].consumers()[0]]
    while len(chain) < 6 and len(following := chain[-1].outputs[0].consumers()) == 1:
        chain.append(following[0])
    if [node.op_type for node in chain] != ["Cast", "Transpose", "Slice", "Sub", "Div", "Conv"]:
        return
    _, transpose, flip, subtract, divide, convolve = chain
    starts, ends, axes, steps = (constant(value).tolist() for value in flip.inputs[1:])
    weight = constant(convolve.inputs[1])
    if (starts, axes, steps) != ([-1], [1], [-1]) or ends[0] > -4 or weight.shape[1] != 3:
        return
    mean, scale = (constant(node.inputs[1]).reshape(1, -1, 1, 1) for node in (subtract, divide))
    subtract.replace_input_with(0, transpose.outputs[0])
    subtract.replace_input_with(1, add_constant(graph, "mean_bgr", mean[:, ::-1]))
    convolve.replace_input_with(0, subtract.outputs[0])
    convolve.replace_input_with(1, add_constant(graph, "stem.weight", (weight / scale)[:, ::-1]))
    graph.remove([flip, divide], safe=True)


def constant(value: ir.Value | None) -> NDArray[Any]:
    """The values of an initialiser."""
    assert value is not None
    assert value.const_value is not None
    return value.const_value.numpy()


def add_constant(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """A new initialiser."""
    value = ir.Value(name=name, const_value=ir.tensor(np.ascontiguousarray(array), name=name))
    value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
    graph.register_initializer(value)
    return value


def tidy(model: ir.Model) -> None:
    """Plain names, no unused initialisers, and who made it."""
    graph = model.graph
    for name, value in list(graph.initializers.items()):
        if value.uses():
            value.name = name.removeprefix("network.")
        else:
            del graph.initializers[name]
    for value in (*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs)):
        value.metadata_props.clear()
    for position, node in enumerate(graph):
        weight = node.inputs[1] if node.op_type == "Conv" else None
        known = weight.name if weight else None
        node.name = known.removesuffix(".weight") if known else f"{node.op_type.lower()}_{position}"
    model.metadata_props.clear()
    graph.name = "keypoints"
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "coke-edge", coke_edge.__version__


def append_head(model: ir.Model, spec: ModelSpec, banks: Banks) -> None:
    """Add the node `coke::Match`, its definition and its banks; its outputs become those of the graph."""
    graph = model.graph
    map_size = (spec.input.height // spec.stride, spec.input.width // spec.stride)
    function = head.match_function(spec.head, len(banks.clutter), banks.counts is not None, map_size)
    shape: list[int | str] = [BATCH, len(banks.prototypes), spec.head.peaks]
    index, *_, neighbourhood = outputs = [
        ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))
        for name in Peaks._fields
    ]
    index.dtype = ir.DataType.INT32
    neighbourhood.shape = ir.Shape([*shape, 3, 3])
    inputs = [add_constant(graph, f"bank.{name}", array) for name, array in banks.arrays().items()]
    graph.append(
        ir.node(
            head.NAME,
            [graph.outputs[0], *inputs],
            head.attributes(spec.head),
            domain=head.DOMAIN,
            outputs=outputs,
            name="match",
        )
    )
    graph.outputs[:] = outputs
    model.functions[function.identifier()] = function
    graph.opset_imports[head.DOMAIN] = head.VERSION

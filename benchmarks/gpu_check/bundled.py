"""The packaged demo model in torch, with Python's own zip and JSON readers alone: its very graph, weights and banks."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coke_edge.benchmarks.gpu_check import onnx_file
from coke_edge.benchmarks.gpu_check.onnx_file import Graph, Node
from coke_edge.kernels.spec import HeadSpec

GRAPH, MANIFEST = "model.fp32.onnx", "manifest.json"
IMAGE, HEAD = "image", "Match"


@dataclasses.dataclass(frozen=True)
class Bundled:
    """A bundle as the benchmark needs it."""

    name: str
    sha256: str
    width: int  # of a crop
    height: int
    border: tuple[int, ...]  # BGR
    head: HeadSpec
    prototypes: Tensor  # float32 [K, C]
    clutter: Tensor  # float32 [N, C]
    counts: Tensor | None  # float32 [N]; None: the bank is not compressed
    network: GraphNetwork


class GraphNetwork(nn.Module):
    """The nodes of a graph up to the head: crops uint8 [B, H, W, 3] BGR → features [B, C, H/8, W/8]."""

    def __init__(self, graph: Graph) -> None:
        """Raises ValueError for an operator that is not known here."""
        super().__init__()
        self._nodes = [node for node in graph.nodes if node.operator != HEAD]
        self._features = next(node for node in graph.nodes if node.operator == HEAD).inputs[0]
        self._names: dict[str, str] = {}
        self._constants = graph.constants
        used = {name for node in self._nodes for name in node.inputs if name in graph.constants}
        for place, name in enumerate(sorted(used)):
            self._names[name] = f"constant{place}"
            self.register_buffer(f"constant{place}", torch.from_numpy(graph.constants[name].copy()))
        if unknown := {node.operator for node in self._nodes} - OPERATORS.keys():
            raise ValueError(f"the graph has operators that are not known here: {', '.join(sorted(unknown))}")

    def forward(self, image: Tensor) -> Tensor:
        values = {name: getattr(self, buffer) for name, buffer in self._names.items()}
        values[IMAGE] = image
        for node in self._nodes:
            given = [values[name] if name else None for name in node.inputs]
            values[node.outputs[0]] = OPERATORS[node.operator](self, node, given)
        features: Tensor = values[self._features]
        return features

    def number(self, name: str) -> float:
        """A constant of one number, without asking the device."""
        return float(self._constants[name].reshape(-1)[0])

    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return next(buffer.dtype for buffer in self.buffers() if buffer.ndim == 4)


def convolution(network: GraphNetwork, node: Node, given: list[Any]) -> Tensor:
    a = node.attributes
    x, (top, left, bottom, right) = given[0], a["pads"]
    if (top, left) != (bottom, right):
        x, top, left = F.pad(x, (left, right, top, bottom)), 0, 0
    bias = given[2] if len(given) > 2 else None
    return F.conv2d(x, given[1], bias, a["strides"], (top, left), a["dilations"], a["group"])


def doubled(network: GraphNetwork, node: Node, given: list[Any]) -> Tensor:
    a = node.attributes
    kind = a["mode"], a["nearest_mode"], a["coordinate_transformation_mode"]
    scales = network._constants[node.inputs[2]].tolist()
    if kind != ("nearest", "floor", "asymmetric") or scales[:2] != [1, 1]:
        raise ValueError(f"the graph resizes by {scales} in a way that is not known here: {kind}")
    return F.interpolate(given[0], scale_factor=scales[2:], mode="nearest")


Operator = Callable[[GraphNetwork, Node, list[Any]], Tensor]
OPERATORS: Mapping[str, Operator] = {
    "Add": lambda network, node, given: given[0] + given[1],
    # A graph turns pixels into its own dtype; here that is the dtype of the weights.
    "Cast": lambda network, node, given: given[0].to(network.dtype()),
    "Clip": lambda network, node, given: given[0].clamp(*(network.number(name) for name in node.inputs[1:])),
    "Conv": convolution,
    "Relu": lambda network, node, given: given[0].relu(),
    "Resize": doubled,
    "Sub": lambda network, node, given: given[0] - given[1],
    # Pixels [B, H, W, 3] as a view that is channels last, as the convolutions want it.
    "Transpose": lambda network, node, given: given[0].permute(node.attributes["perm"]),
}


def read_bundle(path: Path) -> Bundled:
    """Read `path`. Raises ValueError if it is no bundle, or its graph has what is not known here."""
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(path) as file:
            manifest, model = json.loads(file.read(MANIFEST)), file.read(GRAPH)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{path.name} is no bundle that can be read: {error}") from error
    graph = onnx_file.read(model)
    match = next(node for node in graph.nodes if node.operator == HEAD)
    prototypes, clutter, *counts = (
        torch.from_numpy(graph.constants[name].copy()) for name in match.inputs[1:]
    )
    size = manifest["model"]["input"]
    a = match.attributes
    return Bundled(
        name=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        width=size["width"],
        height=size["height"],
        border=tuple(size["border"]),
        head=HeadSpec(a["rule"], a["temperature"], a["clutter_weight"], a["peaks"]),
        prototypes=prototypes,
        clutter=clutter,
        counts=counts[0] if counts else None,
        network=GraphNetwork(graph).eval(),
    )

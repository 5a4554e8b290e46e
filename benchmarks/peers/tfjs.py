"""TensorFlow.js's graph models as TensorFlow's own graphs: weights as arrays, fused operators taken apart.

Imports nothing but numpy, so that it runs in the environment that has TensorFlow and not coke_edge.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Node = dict[str, Any]  # name, op, input, attr: a NodeDef as JSON

FUSED = {"_FusedConv2D": "Conv2D", "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative"}
KEPT = (
    "strides",
    "padding",
    "dilations",
    "data_format",
    "explicit_paddings",
    "T",
)  # of a convolution's attributes


def weights(entries: Sequence[dict[str, Any]], content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of a weights manifest's entries, by name; those stored in float16 as float32.

    Raises ValueError unless `content` holds exactly these, or if one is stored in another way.
    """
    found, place = {}, 0
    for entry in entries:
        kind = np.dtype(entry.get("quantization", {}).get("dtype", entry["dtype"]))
        if kind not in (np.float16, np.float32, np.int32):
            raise ValueError(f"{entry['name']} is stored as {kind}, which needs a scale")
        count = math.prod(entry["shape"])
        array = np.frombuffer(content, kind, count, place).reshape(entry["shape"])
        found[entry["name"]] = array.astype(entry["dtype"])
        place += count * kind.itemsize
    if place != len(content):
        raise ValueError(f"the weights are {len(content)} bytes long, not {place}")
    return found


def unfused(node: Node) -> Iterator[Node]:
    """The nodes that a node stands for: itself, or convolution, bias and activation; the last one keeps the name.

    Raises ValueError for a convolution that is fused with anything else.
    """
    if node["op"] not in FUSED:
        yield node
        return
    name, attributes = node["name"], node["attr"]
    after = [base64.b64decode(operator).decode() for operator in attributes["fused_ops"]["list"]["s"]]
    if after[:1] != ["BiasAdd"] or len(node["input"]) != 3:
        raise ValueError(f"{name} is fused with {', '.join(after)}")
    image, filters, bias = node["input"]
    kind = {"T": attributes["T"]}
    kept = {key: attributes[key] for key in KEPT if key in attributes}
    steps = [(FUSED[node["op"]], [image, filters], kept), ("BiasAdd", ["", bias], kind)]
    steps += [(operator, [""], kind) for operator in after[1:]]
    before = ""
    for i, (operator, inputs, attribute) in enumerate(steps):
        own = name if i == len(steps) - 1 else f"{name}/{operator}"
        yield {
            "name": own,
            "op": operator,
            "input": [source or before for source in inputs],
            "attr": attribute,
        }
        before = own

"""What each layer's 8 bits do to the features: measured with one layer quantised at a time.

    effect = 1 − mean over cells of cos(features, features with this layer alone quantised)

The head sees nothing but the direction of a cell's features, so this is the noise that reaches it. All layers stand
in one graph with a switch each, x + on·(quantised x − x), so that it is built and loaded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from coke_edge.backends.onnxruntime import session_options
from coke_edge.export.graph import FEATURES, IMAGE
from coke_edge.export.precision.quantise import convolutions
from coke_edge.export.precision.ranges import Images

SWITCHES = "on"  # the graph's second input, float32 [layers]


def sensitivities(body: onnx.ModelProto, quantised: onnx.ModelProto, images: Images) -> dict[str, float]:
    """The effect of each convolution of a float32 body that is quantised in `quantised`, on real images."""
    import onnxruntime

    layers = [layer for layer in convolutions(body) if is_quantised(quantised, layer)]
    session = onnxruntime.InferenceSession(
        switchable(body, quantised, layers).SerializeToString(),
        session_options(),
        providers=["CPUExecutionProvider"],
    )
    effects = np.zeros(len(layers))
    for image in images:
        exact = features(session, image, np.zeros(len(layers), np.float32))
        for i, switches in enumerate(np.eye(len(layers), dtype=np.float32)):
            effects[i] += 1.0 - (exact * features(session, image, switches)).sum(0).mean()
    return dict(zip(layers, (effects / len(images)).tolist(), strict=True))


def features(session: Any, image: NDArray[np.uint8], switches: NDArray[np.float32]) -> NDArray[np.float64]:
    """The unit features [C, H, W] of one image."""
    (found,) = session.run([FEATURES], {IMAGE: image[None], SWITCHES: switches})
    values = np.asarray(found[0], dtype=np.float64)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=0), 1e-12))


def is_quantised(quantised: onnx.ModelProto, layer: str) -> bool:
    """Whether a convolution reads a dequantised weight."""
    node = next(node for node in quantised.graph.node if node.name == layer)
    return node.input[1] in {n.output[0] for n in quantised.graph.node if n.op_type == "DequantizeLinear"}


def switchable(body: onnx.ModelProto, quantised: onnx.ModelProto, layers: Sequence[str]) -> onnx.ModelProto:
    """The float32 body with a second input that turns the quantisation of each layer on (1) or off (0)."""
    model = onnx.ModelProto()
    model.CopyFrom(body)
    graph = model.graph
    graph.input.append(onnx.helper.make_tensor_value_info(SWITCHES, onnx.TensorProto.FLOAT, [len(layers)]))
    del graph.node[:]
    sources = {node.output[0]: node for node in quantised.graph.node}
    original = {i.name for i in body.graph.initializer}
    graph.initializer.extend(i for i in quantised.graph.initializer if i.name not in original)
    copied: set[str] = set()
    for node in body.graph.node:
        if node.name in layers:
            (changed,) = (n for n in quantised.graph.node if n.name == node.name)
            for name in changed.input[:2]:
                chain = dequantised(sources, name)
                graph.node.extend(n for n in chain if n.output[0] not in copied)
                copied.update(n.output[0] for n in chain)
            index = onnx.numpy_helper.from_array(np.array(layers.index(node.name)), f"{node.name}.index")
            graph.initializer.append(index)
            graph.node.append(onnx.helper.make_node("Gather", [SWITCHES, index.name], [f"{node.name}.on"]))
            node = blended(graph, node, changed)
        graph.node.append(node)
    return model


def dequantised(sources: dict[str, onnx.NodeProto], name: str) -> list[onnx.NodeProto]:
    """The nodes that make a dequantised tensor: Q and DQ of an activation, DQ of a weight."""
    last = sources[name]
    first = sources.get(last.input[0])
    return [first, last] if first else [last]


def blended(graph: onnx.GraphProto, node: onnx.NodeProto, changed: onnx.NodeProto) -> onnx.NodeProto:
    """A convolution whose input and weight are mixed from the float32 and the dequantised ones; adds the mixing."""
    mixed = onnx.NodeProto()
    mixed.CopyFrom(node)
    for i, part in enumerate(("input", "weight")):
        names = [f"{node.name}.{part}.{step}" for step in ("noise", "share", "mixed")]
        graph.node.extend(
            [
                onnx.helper.make_node("Sub", [changed.input[i], node.input[i]], [names[0]]),
                onnx.helper.make_node("Mul", [names[0], f"{node.name}.on"], [names[1]]),
                onnx.helper.make_node("Add", [node.input[i], names[1]], [names[2]]),
            ]
        )
        mixed.input[i] = names[2]
    return mixed

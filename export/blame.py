"""Which layer of a graph is to blame: every node is judged with its own inputs, so that errors do not travel.

    error = ‖y − f(x)‖ / ‖f(x)‖        x, y: what the graph under suspicion has before and after a node on real
                                       images; f: the same node in float32

A node that gets a value that is not finite is not judged: the one that made it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from coke_edge.backends.onnxruntime import session_options
from coke_edge.export.graph import IMAGE
from coke_edge.export.precision.body import split_body
from coke_edge.export.precision.ranges import Images, float_tensors, with_outputs
from coke_edge.export.precision.rounded import rounded
from coke_edge.export.verdict import Blame

FLOAT = onnx.TensorProto.FLOAT
AGAIN = "@float32"  # marks what float32 makes of the same inputs

Tensors = dict[str, NDArray[np.float32]]


def blame(graph: onnx.ModelProto, variant: onnx.ModelProto, images: Images) -> Blame | None:
    """The layer of `variant` with the largest error of its own over the images; `graph` is its float32 form.

    None if no layer can be compared.
    """
    errors = layer_errors(graph, variant, images)
    if not errors:
        return None
    (layer, error), *rest = sorted(errors.items(), key=lambda item: -item[1])
    next_layer, next_error = rest[0] if rest else ("", 0.0)
    return Blame(layer, round(error, 4), next_layer, round(next_error, 4))


def layer_errors(graph: onnx.ModelProto, variant: onnx.ModelProto, images: Images) -> dict[str, float]:
    """The error of every node whose inputs and outputs the variant has under the same names, in the graph's order."""
    body, suspect = split_body(graph), split_body(rounded(variant))
    floats = set(float_tensors(body))
    shared = floats & {name for node in suspect.graph.node for name in node.output}
    judged = judgeable(body, floats, shared)
    session, alone = opened(with_outputs(suspect, sorted(shared), FLOAT)), opened(isolated(body, judged))
    outputs = [node.output[0] for node in judged]
    wanted = [value.name for value in alone.get_inputs()]
    off, size = np.zeros(len(judged)), np.zeros(len(judged))
    for image in images:
        found: Tensors = dict(
            zip(sorted(shared), session.run(sorted(shared), {IMAGE: image[None]}), strict=True)
        )
        again = alone.run([name + AGAIN for name in outputs], {name: found[name] for name in wanted})
        for i, (node, expected) in enumerate(zip(judged, again, strict=True)):
            if all(np.isfinite(found[name]).all() for name in node.input if name in found):
                off[i] += square(found[node.output[0]] - expected)
                size[i] += square(expected)
    return {
        node.name: float(np.sqrt(off[i] / max(size[i], np.finfo(np.float32).tiny)))
        for i, node in enumerate(judged)
        if size[i] > 0
    }


def square(values: NDArray[np.float32]) -> float:
    """The sum of squares; infinite if a value is not finite."""
    total = float(np.square(values, dtype=np.float64).sum())
    return total if np.isfinite(total) else float("inf")


def judgeable(body: onnx.ModelProto, floats: set[str], shared: set[str]) -> list[onnx.NodeProto]:
    """The nodes from floats to one float, all of which both graphs have."""
    computed = {name for node in body.graph.node for name in node.output}
    nodes = []
    for node in body.graph.node:
        inputs = computed & set(node.input)
        if inputs and inputs <= shared and len(node.output) == 1 and node.output[0] in shared & floats:
            nodes.append(node)
    return nodes


def isolated(body: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> onnx.ModelProto:
    """The nodes side by side: each reads graph inputs and constants alone, its output has the mark AGAIN."""
    held = {i.name for i in body.graph.initializer}
    apart = onnx.ModelProto()
    apart.CopyFrom(body)
    for part in (apart.graph.node, apart.graph.input, apart.graph.output, apart.graph.value_info):
        del part[:]
    names = sorted({name for node in nodes for name in node.input if name and name not in held})
    apart.graph.input.extend(onnx.helper.make_tensor_value_info(name, FLOAT, None) for name in names)
    for node in nodes:
        copy = apart.graph.node.add()
        copy.CopyFrom(node)
        copy.output[0] += AGAIN
        apart.graph.output.append(onnx.helper.make_tensor_value_info(copy.output[0], FLOAT, None))
    return apart


def opened(model: onnx.ModelProto) -> Any:
    """A session that runs the model as written, so that every tensor is there."""
    import onnxruntime

    options = session_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

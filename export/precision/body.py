"""The two parts of a graph: the body up to `features`, which changes its precision, and the head, which does not."""

from __future__ import annotations

import onnx

from coke_edge.export.graph import FEATURES
from coke_edge.export.head import DOMAIN


def split_body(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph from `image` to `features`, without the node `coke::Match`, its banks and its definition."""
    body = onnx.ModelProto()
    body.CopyFrom(graph)
    kept = [node for node in body.graph.node if node.domain != DOMAIN]
    keep(body, kept)
    (features,) = (value for value in graph.graph.value_info if value.name == FEATURES)
    del body.graph.output[:]
    body.graph.output.append(features)
    del body.functions[:]
    return body


def join_head(body: onnx.ModelProto, graph: onnx.ModelProto) -> onnx.ModelProto:
    """A body that was changed, with the head of `graph`, which takes features of any float type."""
    joined = onnx.ModelProto()
    joined.CopyFrom(body)
    (match,) = (node for node in graph.graph.node if node.domain == DOMAIN)
    joined.graph.node.append(match)
    joined.graph.initializer.extend(i for i in graph.graph.initializer if i.name in match.input)
    computed = {name for node in body.graph.node for name in node.output} - {FEATURES}
    described = [value for value in body.graph.value_info if value.name in computed]
    del joined.graph.value_info[:]
    joined.graph.value_info.extend([*described, *body.graph.output])
    del joined.graph.output[:]
    joined.graph.output.extend(graph.graph.output)
    joined.functions.extend(graph.functions)
    return finish(joined, graph)


def finish(changed: onnx.ModelProto, graph: onnx.ModelProto) -> onnx.ModelProto:
    """The changed graph under the name and the versions of the one that it was made from, checked by onnx.

    Converters leave marks of their own and nodes in an order of their own: that of the graph's data flow, and of
    names where that leaves a choice, makes the bytes depend on the inputs alone.
    """
    changed.producer_name, changed.producer_version = graph.producer_name, graph.producer_version
    changed.ir_version, changed.graph.name, changed.doc_string = graph.ir_version, graph.graph.name, ""
    del changed.metadata_props[:]
    versions = {opset.domain: opset.version for opset in graph.opset_import}
    del changed.opset_import[:]
    changed.opset_import.extend(onnx.helper.make_opsetid(*item) for item in versions.items())
    keep(changed, in_order(changed.graph))
    for parts in (changed.graph.initializer, changed.graph.value_info):
        ordered = sorted(parts, key=lambda part: part.name)
        del parts[:]
        parts.extend(ordered)
    onnx.checker.check_model(changed, full_check=True)
    return changed


def keep(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Make these the nodes of a graph, and drop initialisers that none of them reads."""
    graph = model.graph
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    used = {name for node in copies for name in node.input}
    initialisers = [
        onnx.TensorProto.FromString(i.SerializeToString()) for i in graph.initializer if i.name in used
    ]
    del graph.node[:]
    graph.node.extend(copies)
    del graph.initializer[:]
    graph.initializer.extend(initialisers)


def in_order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes so that each comes after those that it reads from; what is ready first by name comes first."""
    waiting = sorted(graph.node, key=lambda node: node.name)
    known = {value.name for value in (*graph.input, *graph.initializer)} | {""}
    ordered = []
    while waiting:
        ready = [node for node in waiting if known.issuperset(node.input)]
        assert ready, "the graph has a cycle or reads what nothing computes"
        ordered += ready
        known |= {name for node in ready for name in node.output}
        waiting = [node for node in waiting if not known.issuperset(node.output)]
    return ordered

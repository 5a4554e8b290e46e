"""A body and its head belong together again after the body was changed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from coke_edge.export.gate import onnx_runtime
from coke_edge.export.graph import serialise
from coke_edge.export.precision.body import in_order, join_head, split_body


def test_the_body_ends_at_the_features(float32_graph: onnx.ModelProto) -> None:
    body = split_body(float32_graph)
    assert [output.name for output in body.graph.output] == ["features"]
    assert not body.functions
    assert not any(i.name.startswith("bank.") for i in body.graph.initializer)
    onnx.checker.check_model(body, full_check=True)


def test_joined_again_it_computes_the_same(float32_graph: onnx.ModelProto, images: NDArray[np.uint8]) -> None:
    joined = join_head(split_body(float32_graph), float32_graph)
    for actual, expected in zip(
        onnx_runtime(serialise(joined))(images), onnx_runtime(serialise(float32_graph))(images), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)
    assert (joined.producer_name, joined.ir_version) == ("coke-edge", float32_graph.ir_version)


def test_the_order_of_the_parts_does_not_reach_the_bytes(float32_graph: onnx.ModelProto) -> None:
    straight, reversed_body = split_body(float32_graph), split_body(float32_graph)
    for parts in (
        reversed_body.graph.node,
        reversed_body.graph.initializer,
        reversed_body.graph.value_info,
        reversed_body.opset_import,
    ):
        backwards = list(reversed(parts))
        copies = [type(part).FromString(part.SerializeToString()) for part in backwards]
        del parts[:]
        parts.extend(copies)
    reversed_body.producer_name, reversed_body.doc_string = "someone", "something"
    assert serialise(join_head(reversed_body, float32_graph)) == serialise(join_head(straight, float32_graph))


def test_a_node_that_reads_what_nothing_computes_is_a_bug() -> None:
    node = onnx.helper.make_node("Relu", ["nothing"], ["y"], name="relu")
    with pytest.raises(AssertionError, match="cycle"):
        in_order(onnx.helper.make_graph([node], "g", [], []))

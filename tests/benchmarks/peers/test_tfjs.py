"""TensorFlow.js's graphs taken apart, without TensorFlow."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from coke_edge.benchmarks.peers.tfjs import unfused, weights


def entry(name: str, shape: list[int], kind: str, stored: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "shape": shape, "dtype": kind}
    return found | ({"quantization": {"dtype": stored}} if stored else {})


def fused(operation: str, after: list[str]) -> dict[str, Any]:
    names = [base64.b64encode(name.encode()).decode() for name in after]
    attributes = {"T": {"type": "DT_FLOAT"}, "strides": 2, "fused_ops": {"list": {"s": names}}, "epsilon": 0}
    return {"name": "n", "op": operation, "input": ["x", "w", "b"], "attr": attributes}


def test_weights_follow_each_other() -> None:
    half, whole = np.array([[0.5, -2.0]], np.float16), np.array([7, 8, 9], np.int32)
    entries = [entry("a", [1, 2], "float32", "float16"), entry("b", [3], "int32"), entry("c", [], "int32")]
    found = weights(entries, half.tobytes() + whole.tobytes() + np.int32(4).tobytes())
    assert found["a"].dtype == np.float32
    np.testing.assert_array_equal(found["a"], [[0.5, -2.0]])
    np.testing.assert_array_equal(found["b"], whole)
    assert found["c"] == 4


def test_weights_of_another_length_or_kind() -> None:
    with pytest.raises(ValueError, match="are 5 bytes long, not 4"):
        weights([entry("a", [2], "float32", "float16")], bytes(5))
    with pytest.raises(ValueError, match="stored as uint8"):
        weights([entry("a", [2], "float32", "uint8")], bytes(2))


def test_a_fused_convolution_becomes_its_steps() -> None:
    steps = list(unfused(fused("FusedDepthwiseConv2dNative", ["BiasAdd", "Relu6"])))
    assert [(s["op"], s["name"], s["input"]) for s in steps] == [
        ("DepthwiseConv2dNative", "n/DepthwiseConv2dNative", ["x", "w"]),
        ("BiasAdd", "n/BiasAdd", ["n/DepthwiseConv2dNative", "b"]),
        ("Relu6", "n", ["n/BiasAdd"]),
    ]
    assert steps[0]["attr"] == {"T": {"type": "DT_FLOAT"}, "strides": 2}


def test_other_nodes_stay_and_other_fusions_are_refused() -> None:
    node = {"name": "n", "op": "AddV2", "input": ["a", "b"], "attr": {}}
    assert list(unfused(node)) == [node]
    with pytest.raises(ValueError, match="n is fused with FusedBatchNorm"):
        list(unfused(fused("_FusedConv2D", ["FusedBatchNorm"])))

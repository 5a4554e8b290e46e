"""What the precisions' tests share: the ranges of the small network, and how a graph is run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from coke_edge.export.graph import FEATURES, serialise
from coke_edge.export.precision.body import split_body
from coke_edge.export.precision.ranges import Range, activation_ranges

RunFeatures = Callable[[onnx.ModelProto], NDArray[np.float32]]
FeatureError = Callable[[onnx.ModelProto], float]


@pytest.fixture(scope="session")
def ranges(float32_graph: onnx.ModelProto, images: NDArray[np.uint8]) -> dict[str, Range]:
    """Of all activations."""
    return activation_ranges(split_body(float32_graph), images)


@pytest.fixture(scope="session")
def run_features(images: NDArray[np.uint8]) -> RunFeatures:
    """The features [12, 16, 8, 12] that a whole graph computes, run as written."""

    def run(graph: onnx.ModelProto) -> NDArray[np.float32]:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            serialise(split_body(graph)), options, providers=["CPUExecutionProvider"]
        )
        (features,) = session.run([FEATURES], {"image": images})
        return np.asarray(features, dtype=np.float32)

    return run


@pytest.fixture(scope="session")
def feature_error(float32_graph: onnx.ModelProto, run_features: RunFeatures) -> FeatureError:
    """‖features − those of float32‖ / ‖those of float32‖."""
    exact = run_features(float32_graph)

    def error(graph: onnx.ModelProto) -> float:
        return float(np.linalg.norm(run_features(graph) - exact) / np.linalg.norm(exact))

    return error

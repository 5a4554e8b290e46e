"""The layer that suffers most from 8 bits is found."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from coke_edge.export.precision.body import split_body
from coke_edge.export.precision.quantise import convolutions, quantise
from coke_edge.export.precision.ranges import Range
from coke_edge.export.precision.sensitivity import sensitivities

Ranges = dict[str, Range]


@pytest.mark.parametrize("signed", [True, False])
def test_a_layer_with_coarse_weights_comes_first(
    float32_graph: onnx.ModelProto, ranges: Ranges, images: NDArray[np.uint8], signed: bool
) -> None:
    body = split_body(float32_graph)
    quantised = quantise(body, ranges, signed=signed)
    (scale,) = (i for i in quantised.graph.initializer if i.name == "neck.lateral.1.0.weight_scale")
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(3), scale.name))
    effects = sensitivities(body, quantised, images[:2])
    assert list(effects) == convolutions(body)
    assert max(effects, key=lambda layer: effects[layer]) == "neck.lateral.1.0"


def test_layers_that_are_not_quantised_are_not_ranked(
    float32_graph: onnx.ModelProto, ranges: Ranges, images: NDArray[np.uint8]
) -> None:
    body = split_body(float32_graph)
    layers = convolutions(body)
    effects = sensitivities(body, quantise(body, ranges, layers[:-2], signed=True), images[:1])
    assert list(effects) == layers[-2:]
    assert all(0 < effect < 0.01 for effect in effects.values())

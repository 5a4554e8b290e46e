"""A model small enough to write down: its features are the colours of 8 × 8 pixel blocks.

Keypoints are the bluest, greenest and reddest places; the one clutter vector is grey.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from coke_edge.bundle import write_bundle
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import InputSpec, Keypoints2D, Manifest, ModelSpec, VisibilitySpec

Image = NDArray[np.uint8]
Paint = Callable[[int, int, dict[int, tuple[float, float]]], Image]

TEMPERATURE, WEIGHT = 0.07, 0.5

GRAPH = f"""
<ir_version: 10, opset_import: ["": 20]>
colours (uint8[B, 64, 96, 3] image) => (
    int32[B, 3, 1] index, float[B, 3, 1] similarity, float[B, 3, 1] clutter, float[B, 3, 1] soft_clutter,
    float[B, 3, 1, 3, 3] neighbourhood
) <
    float[1, 3, 1, 1] grey = {{{", ".join(["0.57735026"] * 3)}}},
    float unit = {{{1e-12}}}, float low = {{-inf}}, float shift = {{{TEMPERATURE * math.log(WEIGHT)}}},
    int64[3] flat = {{0, 0, -1}}, int64[5] square = {{0, 0, 1, 3, 3}}, int64[1] channel = {{1}},
    int64 width = {{12}}, int64 two = {{2}}, int64[8] frame = {{0, 0, 1, 1, 0, 0, 1, 1}},
    int64[9] offsets = {{0, 1, 2, 14, 15, 16, 28, 29, 30}}
> {{
    planes = Transpose <perm = [0, 3, 1, 2]> (image)
    pixels = Cast <to = 1> (planes)
    features = AveragePool <kernel_shape = [8, 8], strides = [8, 8]> (pixels)
    norm = ReduceL2 (features, channel)
    safe = Max (norm, unit)
    maps = Div (features, safe)
    products = Mul (maps, grey)
    grey_map = ReduceSum (products, channel)
    s = Reshape (maps, flat)
    c1 = Reshape (grey_map, flat)
    c3 = Concat <axis = 1> (c1, c1, c1)
    cell = ArgMax <axis = 2, keepdims = 1> (s)
    similarity = GatherElements <axis = 2> (s, cell)
    clutter = GatherElements <axis = 2> (c3, cell)
    soft_clutter = Add (clutter, shift)
    index = Cast <to = 6> (cell)
    padded = Pad (maps, frame, low)
    rows = Reshape (padded, flat)
    row = Div (cell, width)
    extra = Mul (row, two)
    corner = Add (cell, extra)
    places = Add (corner, offsets)
    values = GatherElements <axis = 2> (rows, places)
    neighbourhood = Reshape (values, square)
}}
"""


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    """The colour model: 96 × 64 crops, stride 8, three keypoints."""
    return ModelSpec(
        keypoints=Keypoints2D(("blue", "green", "red"), ((0, 1), (1, 2)), ((0, 2),)),
        input=InputSpec(96, 64, 1.25, (0, 0, 0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        stride=8,
        head=HeadSpec("similarity", TEMPERATURE, WEIGHT),
        visibility=VisibilitySpec(20.0, 0.0, 0.0, (-15.0, -15.0, -15.0)),
    )


@pytest.fixture(scope="session")
def banks() -> dict[str, NDArray[np.float32]]:
    """Prototypes and clutter of the colour model."""
    return {"prototypes": np.eye(3, dtype=np.float32), "clutter": np.full((1, 3), 3**-0.5, np.float32)}


@pytest.fixture(scope="session")
def entries(banks: dict[str, NDArray[np.float32]]) -> dict[str, bytes]:
    """The entries of the colour model's bundle."""
    graph = onnx.parser.parse_model(GRAPH)
    onnx.checker.check_model(graph, full_check=True)
    return {
        "model.fp32.onnx": graph.SerializeToString(),
        "banks.safetensors": save(banks),
        "MODEL_CARD.md": b"# colours\n",
    }


@pytest.fixture(scope="session")
def manifest(spec: ModelSpec) -> Manifest:
    """The manifest of the colour model, before its entries are known."""
    return Manifest("colours", spec, {}, training={"recipe": "by hand"}, versions={"coke-edge": "0.1.0"})


@pytest.fixture(scope="session")
def bundle_path(
    tmp_path_factory: pytest.TempPathFactory, manifest: Manifest, entries: dict[str, bytes]
) -> Path:
    """The colour model as a bundle."""
    path = tmp_path_factory.mktemp("bundle") / "colours.coke"
    write_bundle(path, manifest, entries)
    return path


@pytest.fixture(scope="session")
def paint() -> Paint:
    """Function (width, height, {channel: (x, y)}) → a grey frame with soft blobs in blue, green, red."""

    def paint(width: int, height: int, blobs: dict[int, tuple[float, float]], radius: float = 10.0) -> Image:
        y, x = np.mgrid[:height, :width]
        frame = np.full((height, width, 3), 90.0)
        for channel, (cx, cy) in blobs.items():
            blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2))
            frame *= 1 - 0.8 * blob[..., None]
            frame[..., channel] += 200 * blob
        return np.clip(frame, 0, 255).astype(np.uint8)

    return paint

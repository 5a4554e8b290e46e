"""The graphs of one model in several precisions, each with the gate's verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np
import onnx

from coke_edge.errors import ExportError
from coke_edge.export.blame import blame
from coke_edge.export.crops import spread
from coke_edge.export.expected import Expected
from coke_edge.export.gate import compare, onnx_runtime, run_as_on_gpu
from coke_edge.export.graph import serialise
from coke_edge.export.precision.body import split_body
from coke_edge.export.precision.fp8 import quantise_fp8, to_fp8
from coke_edge.export.precision.fp16 import to_fp16
from coke_edge.export.precision.int8 import to_int8, to_uint8
from coke_edge.export.precision.quantise import quantise
from coke_edge.export.precision.ranges import Images, Range, activation_ranges
from coke_edge.export.precision.sensitivity import sensitivities
from coke_edge.export.verdict import LIMITS, Limits, Verdict
from coke_edge.manifest import ModelSpec

CALIBRATION_IMAGES, SENSITIVITY_IMAGES, BLAME_IMAGES = 100, 3, 3
OUTLIER = 0.15  # share of all layers' noise above which a layer stays in higher precision from the start
FOR_GPUS = ("fp16", "int8", "fp8")
# What a user asks for, and the graphs that this takes.
GRAPHS: dict[str, tuple[str, ...]] = {
    "fp32": ("fp32",),
    "fp16": ("fp16",),
    "int8": ("int8", "uint8"),  # one for GPUs and one for CPUs
    "fp8": ("fp8",),
}

Quantiser = Callable[[onnx.ModelProto, Mapping[str, Range], Sequence[str]], onnx.ModelProto]
QUANTISERS: dict[str, Quantiser] = {"int8": to_int8, "uint8": to_uint8, "fp8": to_fp8}
# The same of a body alone, in float32 but for the Q/DQ nodes.
BODIES: dict[str, Callable[[onnx.ModelProto, Mapping[str, Range]], onnx.ModelProto]] = {
    "int8": partial(quantise, signed=True),
    "uint8": partial(quantise, signed=False),
    "fp8": quantise_fp8,
}


class Variant(NamedTuple):
    """A graph and what the gate says of it."""

    precision: str
    graph: bytes
    verdict: Verdict


class Makings(NamedTuple):
    """What variants are made of and held against."""

    graph: onnx.ModelProto  # float32
    spec: ModelSpec
    expected: Sequence[Expected]


def variants(
    makings: Makings,
    precisions: Sequence[str],
    limits: Mapping[str, Limits] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[Variant]:
    """The graphs for these precisions (keys of GRAPHS), in that order, passed or not.

    Calibration takes up to CALIBRATION_IMAGES of the gate's images. The layers of a quantised graph that make most of
    its noise stay in higher precision, and if it fails, twice as many, and so on, up to half of them.

    Raises ExportError if a precision is unknown.
    """
    if unknown := [name for name in precisions if name not in GRAPHS]:
        raise ExportError(f"there is no precision {unknown[0]!r}; choose from {', '.join(GRAPHS)}")
    chosen = {**LIMITS, **(limits or {})}
    ranges: dict[str, Range] = {}
    for precision in (graph for name in precisions for graph in GRAPHS[name]):
        if precision in QUANTISERS and not ranges:
            report("calibrating")
            images = spread_images(makings.expected, CALIBRATION_IMAGES)
            ranges = activation_ranges(split_body(makings.graph), images)
        if precision in QUANTISERS:
            yield quantised(makings, precision, ranges, chosen[precision], report)
        else:
            report(f"comparing {precision} with torch")
            graph = to_fp16(makings.graph) if precision == "fp16" else makings.graph
            yield judged(makings, precision, graph, chosen[precision])


def quantised(
    makings: Makings,
    precision: str,
    ranges: Mapping[str, Range],
    limits: Limits,
    report: Callable[[str], None],
) -> Variant:
    """The graph with as few layers in higher precision as it takes to pass, but for `outliers`.

    The first attempt if none passes.
    """
    report(f"measuring the layers of {precision}")
    body = split_body(makings.graph)
    images = spread_images(makings.expected, SENSITIVITY_IMAGES)
    effects = sensitivities(body, BODIES[precision](body, ranges), images)
    layers = sorted(effects, key=lambda layer: -effects[layer])
    count = len(outliers(effects))
    first = None
    while first is None or count <= len(layers) // 2:
        kept = tuple(layers[:count])
        report(f"comparing {precision} with torch, {count} layers in higher precision")
        graph = QUANTISERS[precision](makings.graph, ranges, kept)
        variant = judged(makings, precision, graph, limits)
        variant = variant._replace(verdict=msgspec.structs.replace(variant.verdict, kept=kept))
        if variant.verdict.passed:
            return variant
        first = first or variant
        count = max(1, 2 * count)
    return first


def outliers(effects: Mapping[str, float]) -> list[str]:
    """The layers that make more than OUTLIER of all the noise: leaving them costs nothing that was measurable."""
    total = sum(effects.values())
    return [layer for layer, effect in effects.items() if effect > OUTLIER * total]


def judged(makings: Makings, precision: str, graph: onnx.ModelProto, limits: Limits) -> Variant:
    """The graph with its verdict, and the layer to blame if it fails."""
    data = serialise(graph)
    run = run_as_on_gpu(graph) if precision in FOR_GPUS else onnx_runtime(data)
    verdict = compare(makings.expected, run, makings.spec, limits)
    if not verdict.passed and precision != "fp32":
        images = worst_images(makings.expected, verdict)
        verdict = msgspec.structs.replace(verdict, blame=blame(makings.graph, graph, images))
    return Variant(precision, data, verdict)


def spread_images(expected: Sequence[Expected], count: int) -> Images:
    """At most `count` of the images, evenly spread."""
    return np.stack(spread([image for batch in expected for image in batch.images], count))


def worst_images(expected: Sequence[Expected], verdict: Verdict) -> Images:
    """The images of the verdict's worst keypoints."""
    names = {worst.image for worst in verdict.worst_images}
    found = [
        image
        for batch in expected
        for name, image in zip(batch.names, batch.images, strict=True)
        if name in names
    ]
    return np.stack(found[:BLAME_IMAGES])

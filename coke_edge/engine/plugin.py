"""The head as two plugins inside the engine: `coke-edge build --head plugin`.

    features, prototypes, clutter, counts, settings → coke::match → similarity, response, mass
    similarity, response, mass, settings            → coke::peaks → packed int32 [B, K, M, 13]

The banks and the settings are constants of the network. `kernels/packed.py` says what `packed` holds. The engine runs
under trtexec and from C++ as any other does: docs/plugin.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coke_edge.bundle import KERNELS, Bundle
from coke_edge.engine.aot_plugin import AotPlugin, Launch, Shape, Shapes, add, open_module
from coke_edge.engine.cache import version
from coke_edge.engine.network import features_of, replace_outputs
from coke_edge.engine.provider import Provider
from coke_edge.engine.spec import PLUGIN_COMMAND, EngineSpec
from coke_edge.errors import BackendError
from coke_edge.kernels import plan
from coke_edge.kernels.artifact import Artifact, Binary, verified
from coke_edge.kernels.driver import Gpu, open_driver
from coke_edge.kernels.gpu_banks import rounded
from coke_edge.kernels.packed import PEAK_WORDS, RULES
from coke_edge.kernels.plugin_variants import PEAKS, match_plugin_name
from coke_edge.kernels.ptx import DRIVERS
from coke_edge.kernels.reference import Float
from coke_edge.kernels.spec import HeadSpec
from coke_edge.kernels.targets import KernelError

PACKED = "packed"  # the engine's only output


class PluginSource(NamedTuple):
    """What the two plugins are made of."""

    match: Binary
    peaks: Binary
    ptx: dict[str, bytes]  # by the name of the binary
    head: HeadSpec
    banks: dict[
        str, Float
    ]  # prototypes [K, C], clutter [N, C], counts [N]; one row that is not read if N is 0
    rows: int  # N
    processors: int  # multiprocessors of the GPU: the clutter bank is cut into parts that fill them


def read_source(bundle: Bundle, spec: EngineSpec) -> PluginSource:
    """The plugins of a bundle for this GPU.

    Raises BackendError if there is no GPU, or the bundle or the driver lacks something.
    """
    try:
        driver = open_driver()
        gpu = driver.gpu
        driver.close()
        kernels = bundle.kernels() or Artifact((), {})
        names = match_plugin_name(spec.features), PEAKS
        match, peaks = (kernels.find(name, gpu.capability, PLUGIN_COMMAND) for name in names)
        ptx = {binary.name: verified(binary, bundle.read(KERNELS + binary.file)) for binary in (match, peaks)}
    except KernelError as error:
        raise BackendError(f"the head cannot be a plugin: {error}") from error
    check_driver(match, gpu)
    banks = bundle.banks()
    head = bundle.manifest.model.head
    return PluginSource(match, peaks, ptx, head, filled(banks), len(banks["clutter"]), gpu.processors)


def check_driver(binary: Binary, gpu: Gpu) -> None:
    """Raise BackendError if the driver cannot read the PTX of a binary."""
    needed = DRIVERS[binary.ptx]
    if gpu.driver_version < needed:
        raise BackendError(
            f"{binary.file} is in PTX {binary.ptx / 10}, which needs a driver of CUDA {version(needed)}; {gpu.name} "
            f"has one of CUDA {version(gpu.driver_version)}: update it, or take --head kernels"
        )


def filled(banks: dict[str, Float]) -> dict[str, Float]:
    """The banks without an empty one, which TensorRT does not take as a constant, and counts in any case."""
    prototypes, clutter = banks["prototypes"], banks["clutter"]
    clutter = clutter if len(clutter) else prototypes[:1]
    counts = banks.get("counts")
    if counts is None or len(counts) == 0:
        counts = np.ones(len(clutter), np.float32)
    return {"prototypes": prototypes, "clutter": clutter, "counts": counts}


def end_at_peaks(
    provider: Provider, network: Any, spec: EngineSpec, source: PluginSource
) -> list[NDArray[Any]]:
    """Make the packed peaks the only output of a network.

    Gives what must live until the engine is built: TensorRT does not copy constants. Raises BackendError if this
    TensorRT takes no plugins or the network's features are not those of the kernels.
    """
    open_module(provider)  # refuses first what nothing can be done about
    features = features_of(provider, network, spec)
    _, channels, height, width = tuple(features.shape)
    check_features(source.match, channels, height * width)
    constants = constants_of(source, spec)
    tensors = {"features": features}
    for name, values in constants.items():
        tensors[name] = network.add_constant(values.shape, values).get_output(0)
    parts, part_rows = cut(source, height * width, spec.batch.typical)
    tensors |= add(provider, network, match_plugin(source, parts, part_rows), tensors)
    packed = add(provider, network, peaks_plugin(source, parts), tensors)[PACKED]
    packed.name = PACKED
    replace_outputs(network, packed)
    return list(constants.values())


def constants_of(source: PluginSource, spec: EngineSpec) -> dict[str, NDArray[Any]]:
    """The plugins' inputs that are the same for every image."""
    dtypes = {"prototypes": spec.features, "clutter": spec.features, "counts": "fp32"}
    tau, weight = source.head.temperature, source.head.clutter_weight
    banks = {name: rounded(source.banks[name], dtype) for name, dtype in dtypes.items()}
    return {**banks, "settings": np.array([tau, 1 / tau, weight], np.float32)}


def cut(source: PluginSource, cells: int, images: int) -> tuple[int, int]:
    """Parts of the clutter bank, and rows of a part, that fill the GPU with that many images."""
    tile = source.match.constants
    blocks = images * -(-cells // tile["BLOCK_CELLS"])
    rows = plan.part_rows(blocks, source.rows, tile["BLOCK_ROWS"], source.processors)
    return plan.parts(source.rows, rows), rows


def check_features(match: Binary, channels: int, cells: int) -> None:
    """Raise BackendError unless a kernel was compiled for features like these."""
    compiled = match.constants["CHANNELS"]
    if channels != compiled:
        raise BackendError(f"{match.file} was compiled for {compiled} channels, the features have {channels}")
    multiple = {parameter.name: parameter.multiple_of for parameter in match.parameters}["cells"]
    if cells % multiple:
        raise BackendError(
            f"the plugin takes maps of a multiple of {multiple} cells, not of {cells}; --head kernels takes all"
        )


def match_plugin(source: PluginSource, parts: int, part_rows: int) -> AotPlugin:
    """`coke::match`."""
    binary = source.match

    def outputs(shapes: Shapes) -> dict[str, Shape]:
        images, _, height, width = shapes["features"]
        response = (max(1, parts), images, height, width)
        return {
            "similarity": (images, shapes["prototypes"][0], height, width),
            "response": response,
            "mass": response,
        }

    def launch(trtp: Any, shapes: Shapes) -> Launch:
        images, _, height, width = shapes["features"]
        cells = height * width
        numbers = {
            "cells": cells,
            "keypoints": shapes["prototypes"][0],
            "rows": shapes["clutter"][0],
            "part_rows": part_rows,
        }
        return Launch((trtp.cdiv(cells, binary.constants["BLOCK_CELLS"]), 1 + parts, images), numbers)

    return AotPlugin("match", binary, source.ptx[binary.name], outputs, launch, f"{parts} {part_rows}")


def peaks_plugin(source: PluginSource, parts: int) -> AotPlugin:
    """`coke::peaks`."""
    binary, count, rule = source.peaks, source.head.peaks, RULES.index(source.head.rule)

    def outputs(shapes: Shapes) -> dict[str, Shape]:
        maps = tuple(shapes["similarity"])
        return {PACKED: (*maps[:2], count, PEAK_WORDS), "score": maps, "candidates": maps}

    def launch(trtp: Any, shapes: Shapes) -> Launch:
        images, keypoints, height, width = shapes["similarity"]
        numbers = {"height": height, "width": width, "parts": parts, "count": count, "rule": rule}
        return Launch((keypoints, images, 1), numbers)

    return AotPlugin("peaks", binary, source.ptx[binary.name], outputs, launch, f"{parts} {count} {rule}")

"""The kernels that TensorRT takes into an engine as plugins, in PTX: `coke-edge kernels build --plugin`.

plugin-match-fp16  plugin-match-fp32  plugin-peaks

An argument of such a kernel is a pointer to an input, an int32, or a pointer to an output, in this order, and a block
gets no more shared memory than a launch may have without asking the driver for more.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import plan, ptx
from .plan import Tile
from .targets import Target
from .variants import DTYPES, PEAKS_BLOCK, POINTER_ALIGNMENT, Variant, pointers

PLUGIN_DTYPES = ("fp16", "fp32")  # of features that an engine gives
SHARED_MEMORY = 48 * 1024  # bytes of a block
PEAKS = "plugin-peaks"


def match_plugin_name(dtype: str) -> str:
    """The variant of `match` for features of a dtype, one of PLUGIN_DTYPES."""
    return f"plugin-match-{dtype}"


def plugin_variants(target: Target, channels: int, dtypes: Sequence[str]) -> list[Variant]:
    """Everything for one GPU and features of those of the dtypes that an engine can give."""
    return [
        *(match_plugin(target, channels, dtype) for dtype in PLUGIN_DTYPES if dtype in dtypes),
        peaks_plugin(target),
    ]


def match_plugin(target: Target, channels: int, dtype: str) -> Variant:
    """`plugin_match` for features of a dtype, channels-first and without gaps."""
    tile = plugin_tile(target, channels, DTYPES[dtype])
    signature = {
        **dict.fromkeys(("features", "prototypes", "clutter"), f"*{dtype}"),
        **dict.fromkeys(("counts", "settings"), "*fp32"),
        **dict.fromkeys(("cells", "keypoints", "rows", "part_rows"), "i32"),
        **dict.fromkeys(("similarity", "response", "mass"), "*fp32"),
    }
    constants = {
        "CHANNELS": channels,
        "BLOCK_CHANNELS": tile.block_channels,
        "BLOCK_CELLS": tile.block_cells,
        "BLOCK_KEYPOINTS": tile.block_keypoints,
        "BLOCK_ROWS": tile.block_rows,
        "PRECISION": plan.precision(dtype),
    }
    multiples = {**pointers(signature), "cells": POINTER_ALIGNMENT // DTYPES[dtype]}
    return Variant(
        match_plugin_name(dtype), "plugin_match", signature, constants, multiples, tile.warps, tile.stages,
        ptx.version_for(target),
    )  # fmt: skip


def peaks_plugin(target: Target) -> Variant:
    """`plugin_peaks` for maps of any size."""
    signature = {
        **dict.fromkeys(("similarity", "response", "mass", "settings"), "*fp32"),
        **dict.fromkeys(("height", "width", "parts", "count", "rule"), "i32"),
        "packed": "*i32",
        **dict.fromkeys(("score", "candidates"), "*fp32"),
    }
    return Variant(
        PEAKS, "plugin_peaks", signature, {"BLOCK": PEAKS_BLOCK}, pointers(signature), plan.PEAKS_WARPS,
        ptx=ptx.version_for(target),
    )  # fmt: skip


def plugin_tile(target: Target, channels: int, element_bytes: int) -> Tile:
    """A tile that keeps below SHARED_MEMORY; reasoned, not measured.

    64 cells feed the widest tensor-core instruction of 4 warps, as in `plan.reasoned`. Where all channels of 64
    cells and two blocks of rows are too much, cells and rows go in blocks of channels.
    """
    in_registers = target.tensor_op == "HMMA"
    if element_bytes == 4:
        return Tile(64, 32, 16, 32, 4 if in_registers else 8, 2)
    whole = max(16, plan.power_of_two(channels))
    if whole > (256 if in_registers else 128):
        return Tile(64, 32, 16, 64, 4, 2)
    if whole > 128:
        return Tile(64, 16, 16, whole, 8, 2)
    return Tile(64, 32, 16, whole, 4, 2)

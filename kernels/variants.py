"""Which kernels a device needs, specialised how: the list that is compiled ahead of time for a GPU.

match-nchw-hard  match-nchw-soft  match-nhwc-hard  match-nhwc-soft     fp16 features, channels first or last
peaks-hard       peaks-soft                                            hard: no soft clutter response
warp-fp16        warp-fp32                                             the dtype of the crop
"""

from __future__ import annotations

import dataclasses
from typing import Any

from . import plan
from .targets import KernelError, Target

POINTER_ALIGNMENT = 16  # bytes; promised for every pointer
VECTOR = 8  # fp16 elements in 16 bytes; strides are promised to be multiples of it
PEAKS_BLOCK = 1024


@dataclasses.dataclass(frozen=True)
class Variant:
    """A kernel with everything that is fixed when it is compiled."""

    name: str
    kernel: str  # its module and its function
    signature: dict[str, str]  # argument → type, without those in `constants`
    constants: dict[str, Any]
    multiples: dict[str, int]  # argument → what it is promised to be a multiple of
    warps: int
    stages: int = 1


def variants(target: Target, channels: int) -> list[Variant]:
    """Everything for one GPU. Raises KernelError for a number of channels that fp16 vectors cannot hold."""
    if not 16 <= channels <= 512 or channels % VECTOR:
        raise KernelError(f"channels must be a multiple of {VECTOR} from 16 to 512, not {channels}")
    flags = (False, True)
    return [
        *(match_variant(target, channels, layout, soft) for layout in ("nchw", "nhwc") for soft in flags),
        *(peaks_variant(soft) for soft in flags),
        *(warp_variant(dtype) for dtype in ("fp16", "fp32")),
    ]


def match_variant(target: Target, channels: int, layout: str, soft: bool) -> Variant:
    """`match` for fp16 features of a layout: the stride of the inner axis is 1, the other a multiple of 8."""
    tile = plan.tile(target, channels, element_bytes=2)
    inner, outer = (
        ("cell_stride", "channel_stride") if layout == "nchw" else ("channel_stride", "cell_stride")
    )
    signature = {
        **dict.fromkeys(("features", "prototypes", "clutter"), "*fp16"),
        **dict.fromkeys(("counts", "similarity", "response", "mass"), "*fp32"),
        "image_stride": "i64",
        outer: "i32",
        **dict.fromkeys(("cells", "keypoints", "rows", "part_rows"), "i32"),
        "inverse_temperature": "fp32",
    }
    constants = {
        inner: 1,
        "CHANNELS": channels,
        "BLOCK_CHANNELS": tile.block_channels,
        "BLOCK_CELLS": tile.block_cells,
        "BLOCK_KEYPOINTS": tile.block_keypoints,
        "BLOCK_ROWS": tile.block_rows,
        "SOFT": soft,
        "PRECISION": "ieee",
    }
    multiples = {**pointers(signature), "image_stride": VECTOR, outer: VECTOR}
    if layout == "nchw":
        multiples["cells"] = VECTOR
    name = f"match-{layout}-{'soft' if soft else 'hard'}"
    return Variant(name, "match", signature, constants, multiples, tile.warps, tile.stages)


def peaks_variant(soft: bool) -> Variant:
    """`peaks` for maps of any size."""
    signature = {
        **dict.fromkeys(("similarity", "response", "mass", "score", "candidates"), "*fp32"),
        "packed": "*i32",
        **dict.fromkeys(("height", "width", "parts", "count", "rule"), "i32"),
        **dict.fromkeys(("temperature", "weight"), "fp32"),
    }
    constants = {"BLOCK": PEAKS_BLOCK, "SOFT": soft}
    name = f"peaks-{'soft' if soft else 'hard'}"
    return Variant(name, "peaks", signature, constants, pointers(signature), plan.PEAKS_WARPS)


def warp_variant(dtype: str) -> Variant:
    """`warp` to crops of a dtype; frames need no alignment."""
    signature = {
        "frame": "*u8",
        **dict.fromkeys(("affines", "colours"), "*fp32"),
        "crops": f"*{dtype}",
        **dict.fromkeys(("height", "width", "pitch", "crop_height", "crop_width"), "i32"),
    }
    multiples = {name: n for name, n in pointers(signature).items() if name != "frame"}
    return Variant(
        f"warp-{dtype}", "warp", signature, {"BLOCK": plan.WARP_PIXELS}, multiples, plan.WARP_WARPS
    )


def pointers(signature: dict[str, str]) -> dict[str, int]:
    """The alignment of every pointer."""
    return {name: POINTER_ALIGNMENT for name, kind in signature.items() if kind.startswith("*")}

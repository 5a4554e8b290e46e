"""Which kernels a device needs, specialised how: the list that is compiled ahead of time for a GPU.

match-fp16-nchw-hard  match-fp16-nchw-soft     dtype and layout of the features (nchw: channels first, nhwc: last)
match-fp16-nhwc-hard  match-fp16-nhwc-soft     hard: no soft clutter response
peaks-hard            peaks-soft
warp-fp16  warp-fp32  warp-u8                  the dtype of the crop; u8 is not normalised
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from . import plan
from .targets import KernelError, Target

DTYPES = {"fp16": 2, "bf16": 2, "fp32": 4}  # of features: Triton's name → bytes of an element
LAYOUTS = ("nchw", "nhwc")
WARP_DTYPES = {"fp16": 2, "fp32": 4, "u8": 1}  # of crops, likewise
POINTER_ALIGNMENT = 16  # bytes; promised for every pointer and for every stride between vectors
CHANNEL_MULTIPLE = 8
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
    ptx: int = 0  # version of the PTX language, times ten, that it is kept in; 0: as machine code


def match_name(dtype: str, layout: str, soft: bool) -> str:
    """The variant of `match` for features of a dtype (a name in DTYPES) and a layout (one of LAYOUTS)."""
    return f"match-{dtype}-{layout}-{'soft' if soft else 'hard'}"


def peaks_name(soft: bool) -> str:
    """The variant of `peaks`."""
    return f"peaks-{'soft' if soft else 'hard'}"


def warp_name(dtype: str) -> str:
    """The variant of `warp` that writes crops of a dtype, a name in WARP_DTYPES."""
    return f"warp-{dtype}"


def variants(target: Target, channels: int, dtypes: Sequence[str] = ("fp16",)) -> list[Variant]:
    """Everything for one GPU and features of the given dtypes.

    Raises KernelError for a dtype that is not in DTYPES or channels that vectors of 16 bytes cannot hold.
    """
    if not 16 <= channels <= 512 or channels % CHANNEL_MULTIPLE:
        raise KernelError(f"channels must be a multiple of {CHANNEL_MULTIPLE} from 16 to 512, not {channels}")
    wanted = list(dict.fromkeys(dtypes))
    if not wanted or not set(wanted) <= DTYPES.keys():
        raise KernelError(f"dtypes must be some of {', '.join(DTYPES)}, not {', '.join(wanted) or 'none'}")
    flags = (False, True)
    return [
        *(match_variant(target, channels, *kind) for kind in itertools.product(wanted, LAYOUTS, flags)),
        *(peaks_variant(soft) for soft in flags),
        *(warp_variant(dtype) for dtype in WARP_DTYPES),
    ]


def match_variant(
    target: Target, channels: int, dtype: str, layout: str, soft: bool, tile: plan.Tile | None = None
) -> Variant:
    """`match` for features of a dtype and a layout: the inner axis has stride 1, the outer whole vectors.

    The tile is that of `plan.py` if None.
    """
    tile = tile or plan.tile(target, channels, element_bytes=DTYPES[dtype])
    vector = POINTER_ALIGNMENT // DTYPES[dtype]
    inner, outer = (
        ("cell_stride", "channel_stride") if layout == "nchw" else ("channel_stride", "cell_stride")
    )
    signature = {
        **dict.fromkeys(("features", "prototypes", "clutter"), f"*{dtype}"),
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
        "PRECISION": plan.precision(dtype),
    }
    multiples = {**pointers(signature), "image_stride": vector, outer: vector}
    if layout == "nchw":
        multiples["cells"] = vector
    name = match_name(dtype, layout, soft)
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
    name = peaks_name(soft)
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
        warp_name(dtype), "warp", signature, {"BLOCK": plan.WARP_PIXELS}, multiples, plan.WARP_WARPS
    )


def pointers(signature: dict[str, str]) -> dict[str, int]:
    """The alignment of every pointer."""
    return {name: POINTER_ALIGNMENT for name, kind in signature.items() if kind.startswith("*")}

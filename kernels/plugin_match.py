"""`match` with the arguments of a TensorRT plugin, in its order: pointers to inputs, int32, pointers to outputs.

A plugin has no strides and no floating-point arguments. The features are channels-first and without gaps, so that the
strides follow from C and the cells; the numbers of the head come as a tensor, `settings`: τ, 1/τ and w, see peaks.py.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803
# Kernels are Triton's language: arguments have no Python type, and those compiled in are in capitals.

from __future__ import annotations

import triton
import triton.language as tl

from .match import match


@triton.jit
def plugin_match(
    features,  # [B, C, P]
    prototypes,  # [K, C], the dtype of the features
    clutter,  # [N, C], the dtype of the features
    counts,  # float32 [N]
    settings,  # float32 [3] τ, 1/τ, w
    cells,  # P
    keypoints,  # K
    rows,  # N
    part_rows,  # rows of the clutter bank in a part
    similarity,  # out: float32 [B, K, P]
    response,  # out: float32 [T, B, P]
    mass,  # out: float32 [T, B, P]
    CHANNELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
    BLOCK_CELLS: tl.constexpr,
    BLOCK_KEYPOINTS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    image_stride = cells.to(tl.int64) * CHANNELS
    match(
        features, prototypes, clutter, counts, similarity, response, mass,
        image_stride, cells, 1, cells, keypoints, rows, part_rows, tl.load(settings + 1),
        CHANNELS, BLOCK_CHANNELS, BLOCK_CELLS, BLOCK_KEYPOINTS, BLOCK_ROWS, True, PRECISION,
    )  # fmt: skip

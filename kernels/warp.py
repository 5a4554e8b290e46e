"""Crop and normalise on the GPU, in Triton: uint8 BGR frame and affine → what a network takes, of either kind.

    (x, y)     = A·(i, j, 1)                                    crop pixel (i, j) in the frame, A from crop to frame
    g          = Σ_{4 neighbours} (bilinear weight) · pixel     the border colour outside the frame
    out_c,j,i  = scale_c · round(g_c) + shift_c                 scale = 1/(255·std), shift = −mean/std: RGB planes
    out_j,i,c  = round(g_c)                                     uint8 BGR pixels, if the crop is uint8

Pixel centres are at integers. Rounding to whole grey levels makes it what the CPU path does (`warpAffine` to
uint8, then normalise): it agrees with OpenCV 5 within one level. OpenCV 4 moves positions to the next 1/32 pixel.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803
# Kernels are Triton's language: arguments have no Python type, and those compiled in are in capitals.

from __future__ import annotations

import triton
import triton.language as tl

NEAREST = tl.constexpr(1.5 * 2**23)  # added and taken away again, it leaves the nearest integer, ties to even


@triton.jit
def warp(
    frame,  # uint8 [H, W, 3] BGR, rows `pitch` bytes apart
    affines,  # float32 [B, 6], row-major 2×3, crop pixel to frame pixel; finite
    colours,  # float32 [3, 3]: border colour (0 … 255), scale, shift (not read for uint8); columns in RGB order
    crops,  # out: float16 or float32 [B, 3, h, w] RGB, or uint8 [B, h, w, 3] BGR
    height,  # H
    width,  # W
    pitch,
    crop_height,  # h
    crop_width,  # w
    BLOCK: tl.constexpr,
):
    crop = tl.program_id(1).to(tl.int64)
    pixels = crop_height * crop_width
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < pixels
    j = pixel // crop_width
    i = (pixel - j * crop_width).to(tl.float32)
    j = j.to(tl.float32)

    affine = affines + crop * 6
    x = tl.load(affine) * i + tl.load(affine + 1) * j + tl.load(affine + 2)
    y = tl.load(affine + 3) * i + tl.load(affine + 4) * j + tl.load(affine + 5)
    # Two pixels outside every neighbour is border; the clamp keeps the conversion to integers defined.
    x = tl.minimum(tl.maximum(x, -2.0), width + 1.0)
    y = tl.minimum(tl.maximum(y, -2.0), height + 1.0)
    left, top = tl.floor(x), tl.floor(y)
    right_share, lower_share = x - left, y - top

    for channel in tl.static_range(3):
        border = tl.load(colours + channel)
        grey = tl.zeros([BLOCK], tl.float32)
        for corner in tl.static_range(4):
            column = left.to(tl.int32) + corner % 2
            row = top.to(tl.int32) + corner // 2
            share_x = right_share if corner % 2 == 1 else 1.0 - right_share
            share_y = lower_share if corner // 2 == 1 else 1.0 - lower_share
            known = inside & (column >= 0) & (column < width) & (row >= 0) & (row < height)
            value = tl.load(
                frame + row.to(tl.int64) * pitch + column * 3 + (2 - channel), mask=known, other=0
            )
            grey += share_x * share_y * tl.where(known, value.to(tl.float32), border)
        grey = (grey + NEAREST) - NEAREST
        if crops.dtype.element_ty == tl.uint8:
            tl.store(crops + (crop * pixels + pixel) * 3 + (2 - channel), grey.to(tl.uint8), mask=inside)
        else:
            out = tl.load(colours + 3 + channel) * grey + tl.load(colours + 6 + channel)
            tl.store(
                crops + (crop * 3 + channel) * pixels + pixel, out.to(crops.dtype.element_ty), mask=inside
            )

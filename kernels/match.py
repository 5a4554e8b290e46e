"""Pass 1 of the head, in Triton: every cell against both banks, the products staying in registers.

    v_p   = 1 / max(‖x_p‖, ε)
    s_k,p = v_p · (x_p · θ_k)                                       similarity
    a_t,p = max_{n in part t} v_p · (x_p · β_n)                     hard response to part t of the clutter bank
    l_t,p = Σ_{n in part t} m_n · exp((v_p·(x_p·β_n) − a_t,p) / τ)  its mass, if the soft response is asked for

Program (i, 0, b) takes a block of cells against the prototypes, program (i, 1 + t, b) the same block against
part t of the clutter bank: one image of 1,024 cells then fills a GPU too. Each result has one writer, so the
same inputs give the same bits. `peaks.py` joins the parts.

Norms, products and sums are float32 whatever the features are. Features are not rounded to unit length: the
products are scaled after the dot. A cell whose norm is not finite (a NaN or infinite feature, or one that
overflows float32) gets NaN everywhere and touches no other cell.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803
# Kernels are Triton's language: arguments have no Python type, and those compiled in are in capitals.

from __future__ import annotations

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
EPSILON = tl.constexpr(1e-12)  # as in reference.py


@triton.jit
def match(
    features,  # [B, C, P], addressed by the three strides: channels-first and channels-last without a copy
    prototypes,  # [K, C], the dtype of the features
    clutter,  # [N, C], the dtype of the features
    counts,  # float32 [N] m; not read if not SOFT
    similarity,  # out: float32 [B, K, P] s
    response,  # out: float32 [T, B, P] a
    mass,  # out: float32 [T, B, P] l; not written if not SOFT
    image_stride,  # in elements; may exceed 31 bits, the two others times their extents may not
    channel_stride,
    cell_stride,
    cells,  # P
    keypoints,  # K
    rows,  # N
    part_rows,  # rows of the clutter bank in a part; the last part may be shorter, none is empty
    inverse_temperature,  # 1 / τ
    CHANNELS: tl.constexpr,  # C
    BLOCK_CHANNELS: tl.constexpr,  # the power of two that holds C
    BLOCK_CELLS: tl.constexpr,
    BLOCK_KEYPOINTS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    SOFT: tl.constexpr,
    PRECISION: tl.constexpr,  # of float32 products: "ieee", or "tf32x3" for the tensor cores
):
    part = tl.program_id(1) - 1
    image = tl.program_id(2).to(tl.int64)
    batch = tl.num_programs(2)
    cell = tl.program_id(0) * BLOCK_CELLS + tl.arange(0, BLOCK_CELLS)
    channel = tl.arange(0, BLOCK_CHANNELS)
    inside = cell < cells
    whole = channel < CHANNELS

    x = tl.load(
        features + image * image_stride + cell[:, None] * cell_stride + channel[None, :] * channel_stride,
        mask=inside[:, None] & whole[None, :],
        other=0.0,
    )
    exact = x.to(tl.float32)
    square = tl.sum(exact * exact, axis=1)
    inverse = tl.where(square < float("inf"), 1.0 / tl.maximum(tl.sqrt(square), EPSILON), float("nan"))

    if part < 0:
        for first in tl.range(0, keypoints, BLOCK_KEYPOINTS, num_stages=1):
            keypoint = first + tl.arange(0, BLOCK_KEYPOINTS)
            known = keypoint < keypoints
            theta = tl.load(
                prototypes + keypoint[None, :] * CHANNELS + channel[:, None],
                mask=known[None, :] & whole[:, None],
                other=0.0,
            )
            products = tl.dot(x, theta, input_precision=PRECISION) * inverse[:, None]
            tl.store(
                similarity + (image * keypoints + keypoint[None, :]) * cells + cell[:, None],
                products,
                mask=inside[:, None] & known[None, :],
            )
    else:
        start = part * part_rows
        end = tl.minimum(start + part_rows, rows)
        exponent = inverse * (inverse_temperature * LOG2_E)  # of a raw product, to base 2
        best = tl.full([BLOCK_CELLS], float("-inf"), tl.float32)
        total = tl.zeros([BLOCK_CELLS], tl.float32)
        for first in tl.range(start, end, BLOCK_ROWS):
            row = first + tl.arange(0, BLOCK_ROWS)
            known = row < end
            beta = tl.load(
                clutter + row[None, :] * CHANNELS + channel[:, None],
                mask=known[None, :] & whole[:, None],
                other=0.0,
            )
            products = tl.dot(x, beta, input_precision=PRECISION)
            products = tl.where(known[None, :], products, float("-inf"))
            better = tl.maximum(best, tl.max(products, axis=1))
            if SOFT:
                weight = tl.load(counts + row, mask=known, other=0.0)
                powers = tl.exp2((products - better[:, None]) * exponent[:, None])
                total = total * tl.exp2((best - better) * exponent) + tl.sum(weight[None, :] * powers, axis=1)
            best = better
        out = (part * batch + image) * cells + cell
        tl.store(response + out, best * inverse, mask=inside)
        if SOFT:
            tl.store(mass + out, total, mask=inside)

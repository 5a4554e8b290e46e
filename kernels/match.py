"""Pass 1 of the head, in Triton: every cell against both banks, the products staying in registers.

    v_p   = 1 / max(‖x_p‖, ε)
    s_k,p = v_p · (x_p · θ_k)                                       similarity
    a_t,p = max_{n in part t} v_p · (x_p · β_n)                     hard response to part t of the clutter bank
    l_t,p = Σ_{n in part t} m_n · exp((v_p·(x_p·β_n) − a_t,p) / τ)  its mass, if the soft response is asked for

Program (i, 0, b) takes a block of cells against the prototypes, program (i, 1 + t, b) the same block against
part t of the clutter bank: one image of 1,024 cells then fills a GPU too. Each result has one writer, so the
same inputs give the same bits. `peaks.py` joins the parts.

The last block of rows repeats the last row instead of masking products: a maximum does not notice, and in the
mass its weight is 0. A bank is finite (bundles are validated); a row that is not would spoil the mass of every cell.
Where all channels of a block do not fit on chip (BLOCK_CHANNELS < C) cells are read again with every block of rows.

Norms, products and sums are float32 whatever the features are. Features are not rounded to unit length: the
products are scaled after the dot. A cell whose norm is not finite (a NaN or infinite feature, or one that
overflows float32) gets NaN everywhere and touches no other cell.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803, N806, SIM108
# Kernels are Triton's language: arguments have no Python type, and those compiled in are in capitals.

from __future__ import annotations

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
EPSILON = tl.constexpr(1e-12)  # as in reference.py


@triton.jit
def load_cells(
    features, cell, channel, inside, cell_stride, channel_stride, CHANNELS: tl.constexpr, WHOLE: tl.constexpr
):
    """x [cells, channels], 0 outside the map and beyond C; `features` points to the image."""
    at = features + cell[:, None] * cell_stride + channel[None, :] * channel_stride
    if WHOLE:
        x = tl.load(at, mask=inside[:, None], other=0.0)
    else:
        x = tl.load(at, mask=inside[:, None] & (channel < CHANNELS)[None, :], other=0.0)
    return x


@triton.jit
def load_rows(bank, row, channel, CHANNELS: tl.constexpr, WHOLE: tl.constexpr):
    """Rows of a bank as columns [channels, rows], 0 beyond C."""
    at = bank + row[None, :] * CHANNELS + channel[:, None]
    if WHOLE:
        rows = tl.load(at)
    else:
        rows = tl.load(at, mask=(channel < CHANNELS)[:, None], other=0.0)
    return rows


@triton.jit
def multiply(
    x,  # [cells, block of channels], used if that holds all channels
    features,
    cell,
    inside,
    cell_stride,
    channel_stride,
    bank,
    row,
    CHANNELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """x · rows of a bank, float32 [cells, rows]."""
    WHOLE: tl.constexpr = CHANNELS % BLOCK_CHANNELS == 0
    channel = tl.arange(0, BLOCK_CHANNELS)
    if BLOCK_CHANNELS >= CHANNELS:
        products = tl.dot(x, load_rows(bank, row, channel, CHANNELS, WHOLE), input_precision=PRECISION)
    else:
        products = tl.zeros([cell.shape[0], row.shape[0]], tl.float32)
        for first in tl.range(0, CHANNELS, BLOCK_CHANNELS):
            here = first + channel
            cells = load_cells(features, cell, here, inside, cell_stride, channel_stride, CHANNELS, WHOLE)
            rows = load_rows(bank, row, here, CHANNELS, WHOLE)
            products = tl.dot(cells, rows, products, input_precision=PRECISION)
    return products


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
    BLOCK_CHANNELS: tl.constexpr,  # the power of two that holds C, or fewer
    BLOCK_CELLS: tl.constexpr,
    BLOCK_KEYPOINTS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    SOFT: tl.constexpr,
    PRECISION: tl.constexpr,  # of float32 products: "ieee", or "tf32x3" for the tensor cores
):
    WHOLE: tl.constexpr = CHANNELS % BLOCK_CHANNELS == 0
    part = tl.program_id(1) - 1
    image = tl.program_id(2).to(tl.int64)
    batch = tl.num_programs(2)
    cell = tl.program_id(0) * BLOCK_CELLS + tl.arange(0, BLOCK_CELLS)
    channel = tl.arange(0, BLOCK_CHANNELS)
    inside = cell < cells
    features += image * image_stride

    x = load_cells(features, cell, channel, inside, cell_stride, channel_stride, CHANNELS, WHOLE)
    exact = x.to(tl.float32)
    square = tl.sum(exact * exact, axis=1)
    for first in tl.range(BLOCK_CHANNELS, CHANNELS, BLOCK_CHANNELS, num_stages=1):
        here = first + channel
        more = load_cells(features, cell, here, inside, cell_stride, channel_stride, CHANNELS, WHOLE)
        exact = more.to(tl.float32)
        square += tl.sum(exact * exact, axis=1)
    inverse = tl.where(square < float("inf"), 1.0 / tl.maximum(tl.sqrt(square), EPSILON), float("nan"))

    if part < 0:
        for first in tl.range(0, keypoints, BLOCK_KEYPOINTS, num_stages=1):
            keypoint = first + tl.arange(0, BLOCK_KEYPOINTS)
            products = multiply(
                x, features, cell, inside, cell_stride, channel_stride, prototypes,
                tl.minimum(keypoint, keypoints - 1), CHANNELS, BLOCK_CHANNELS, PRECISION,
            )  # fmt: skip
            tl.store(
                similarity + (image * keypoints + keypoint[None, :]) * cells + cell[:, None],
                products * inverse[:, None],
                mask=inside[:, None] & (keypoint < keypoints)[None, :],
            )
    else:
        start = part * part_rows
        end = tl.minimum(start + part_rows, rows)
        out = (part * batch + image) * cells + cell
        if SOFT:
            exponent = inverse * (inverse_temperature * LOG2_E)  # of a raw product, to base 2
            best = tl.full([BLOCK_CELLS], float("-inf"), tl.float32)
            total = tl.zeros([BLOCK_CELLS], tl.float32)
            for first in tl.range(start, end, BLOCK_ROWS):
                row = first + tl.arange(0, BLOCK_ROWS)
                products = multiply(
                    x, features, cell, inside, cell_stride, channel_stride, clutter,
                    tl.minimum(row, end - 1), CHANNELS, BLOCK_CHANNELS, PRECISION,
                )  # fmt: skip
                weight = tl.load(counts + row, mask=row < end, other=0.0)
                better = tl.maximum(best, tl.max(products, axis=1))
                shift = better * exponent
                powers = tl.exp2(products * exponent[:, None] - shift[:, None])
                total = total * tl.exp2(best * exponent - shift) + tl.sum(weight[None, :] * powers, axis=1)
                best = better
            tl.store(mass + out, total, mask=inside)
        else:
            # One maximum for each place in a block: rows are compared across threads once, at the end.
            largest = tl.full([BLOCK_CELLS, BLOCK_ROWS], float("-inf"), tl.float32)
            for first in tl.range(start, end, BLOCK_ROWS):
                row = first + tl.arange(0, BLOCK_ROWS)
                products = multiply(
                    x, features, cell, inside, cell_stride, channel_stride, clutter,
                    tl.minimum(row, end - 1), CHANNELS, BLOCK_CHANNELS, PRECISION,
                )  # fmt: skip
                largest = tl.maximum(largest, products)
            best = tl.max(largest, axis=1)
        tl.store(response + out, best * inverse, mask=inside)

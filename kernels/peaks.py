"""Pass 2 of the head, in Triton: from similarities and parts of the clutter response to the best local maxima.

    c_p   = max_t a_t,p                                           −1 without clutter
    ĉ_p   = c_p + τ·log(w · Σ_t l_t,p · exp((a_t,p − c_p) / τ))   −1 without clutter
    q_k,p = s_k,p  |  s_k,p − c_p  |  s_k,p − ĉ_p                 −∞ where that is NaN or infinite
    peaks = the M best local maxima of q_k, as in reference.py

One program per (keypoint, image) reads its own map and no other program's, and parts are joined in order, so
the same inputs give the same bits. It writes the scores over the similarities (or elsewhere, if given another
buffer), hence a peak's similarity is q plus what was subtracted, which rounds once more.

The best cell of the lowest index is always a local maximum, so only M > 1 has to look for the others. A peak
is one row of 13 words, copied to the host at once: index (int32), s, c, ĉ, then the 3×3 neighbourhood of q
(float32 bits).
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803
# Kernels are Triton's language: arguments have no Python type, and those compiled in are in capitals.

from __future__ import annotations

import triton
import triton.language as tl

from .packed import PEAK_WORDS, RULES

WORDS = tl.constexpr(PEAK_WORDS)
MARGIN = tl.constexpr(RULES.index("margin"))
LOG_ODDS = tl.constexpr(RULES.index("log_odds"))
PARTS_AT_ONCE = tl.constexpr(4)


@triton.jit
def clutter_response(
    response, mass, cell, valid, parts, part_stride, temperature, weight, SOFT: tl.constexpr
):
    """c and ĉ (NaN if not SOFT) of cells of an image, whose first part the pointers name; −1 where there is no clutter.

    Parts are read several at a time, for fewer trips to memory that wait for each other.
    """
    hard = tl.full(cell.shape, -1.0, tl.float32)
    soft = tl.full(cell.shape, -1.0, tl.float32)
    if parts > 0:
        hard = tl.full(cell.shape, float("-inf"), tl.float32)
        total = tl.zeros(cell.shape, tl.float32)
        for first in tl.range(0, parts, PARTS_AT_ONCE):
            here = cell[None, :] + (first + tl.arange(0, PARTS_AT_ONCE))[:, None] * part_stride
            known = valid[None, :] & (first + tl.arange(0, PARTS_AT_ONCE) < parts)[:, None]
            some = tl.load(response + here, mask=known, other=float("-inf"))
            larger = tl.maximum(hard, tl.max(some, axis=0))
            if SOFT:
                masses = tl.load(mass + here, mask=known, other=0.0)
                total = total * tl.exp((hard - larger) / temperature)
                total += tl.sum(masses * tl.exp((some - larger[None, :]) / temperature), axis=0)
            hard = larger
        if SOFT:
            soft = hard + temperature * tl.log(weight * total)
    if not SOFT:
        soft = tl.full(cell.shape, float("nan"), tl.float32)
    return hard, soft


@triton.jit
def best_of(value, cell, none):
    """The largest value and, among equals, the lowest cell; `none` is above every cell."""
    best = tl.max(value, axis=0)
    return best, tl.min(tl.where(value == best, cell, none), axis=0)


@triton.jit
def peaks(
    similarity,  # float32 [B, K, P] s
    response,  # float32 [T, B, P] a
    mass,  # float32 [T, B, P] l; not read if not SOFT
    score,  # out: float32 [B, K, P] q; may be `similarity` itself
    candidates,  # scratch: float32 [B, K, P]; not touched if M is 1
    packed,  # out: int32 [B, K, M, 13]
    height,  # H
    width,  # W
    parts,  # T, 0 without clutter
    count,  # M
    rule,  # index in RULES
    temperature,  # τ
    weight,  # w
    BLOCK: tl.constexpr,
    SOFT: tl.constexpr,  # else ĉ is NaN, and the rule may not be log_odds
):
    image = tl.program_id(1).to(tl.int64)
    cells = height * width
    keypoint_map = (image * tl.num_programs(0) + tl.program_id(0)) * cells
    response += image * cells
    mass += image * cells
    part_stride = tl.num_programs(1).to(tl.int64) * cells
    lane = tl.arange(0, BLOCK)

    top = tl.full([BLOCK], float("-inf"), tl.float32)
    top_cell = tl.full([BLOCK], cells, tl.int32)
    for first in tl.range(0, cells, BLOCK):
        cell = first + lane
        inside = cell < cells
        q = tl.load(similarity + keypoint_map + cell, mask=inside, other=float("nan"))
        hard, soft = clutter_response(
            response, mass, cell, inside, parts, part_stride, temperature, weight, SOFT
        )
        if rule == MARGIN:
            q -= hard
        if rule == LOG_ODDS:
            q -= soft
        q = tl.where(q < float("inf"), q, float("-inf"))  # NaN compares false
        # The scores may lie over the similarities, and of few cells the compiler may load those twice, for threads that
        # share the work in two ways: none writes before all have read.
        tl.debug_barrier()
        tl.store(score + keypoint_map + cell, q, mask=inside)
        top_cell = tl.where(q > top, cell, top_cell)
        top = tl.maximum(q, top)
    value, where = best_of(top, top_cell, cells)
    tl.debug_barrier()  # scores that other threads of this program wrote are read from here on

    if count > 1:
        for first in tl.range(0, cells, BLOCK):
            cell = first + lane
            q = tl.load(score + keypoint_map + cell, mask=cell < cells, other=float("-inf"))
            largest = q > float("-inf")
            row = cell // width
            column = cell - row * width
            for step in tl.static_range(9):
                if step != 4:
                    y, x = row + step // 3 - 1, column + step % 3 - 1
                    near = tl.load(
                        score + keypoint_map + y * width + x,
                        mask=(cell < cells) & (y >= 0) & (y < height) & (x >= 0) & (x < width),
                        other=float("-inf"),
                    )
                    if step < 4:
                        largest &= q > near
                    else:
                        largest &= q >= near
            tl.store(candidates + keypoint_map + cell, tl.where(largest, q, float("-inf")), mask=cell < cells)
        tl.debug_barrier()

    row_of_peaks = (image * tl.num_programs(0) + tl.program_id(0)) * count
    word = tl.arange(0, 16)
    for rank in tl.range(0, count):
        peak_score = value + tl.zeros([16], tl.float32)
        peak_cell = where + tl.zeros([16], tl.int32)
        found = peak_score > float("-inf")
        y = peak_cell // width + (word - 4) // 3 - 1
        x = peak_cell % width + (word - 4) % 3 - 1
        near = found & (word >= 4) & (word < WORDS) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        around = tl.load(score + keypoint_map + y * width + x, mask=near, other=float("-inf"))
        valid = found & (word < 4)
        c, soft_c = clutter_response(
            response, mass, peak_cell, valid, parts, part_stride, temperature, weight, SOFT
        )
        s = peak_score
        if rule == MARGIN:
            s += c
        if rule == LOG_ODDS:
            s += soft_c
        s = tl.where(word == 1, s, tl.where(word == 2, c, soft_c))
        words = tl.where(word < 4, tl.where(valid, s, float("-inf")), around).to(tl.int32, bitcast=True)
        words = tl.where(word == 0, tl.where(found, peak_cell, -1), words)
        tl.store(packed + (row_of_peaks + rank) * WORDS + word, words, mask=word < WORDS)

        if rank + 1 < count:
            top = tl.full([BLOCK], float("-inf"), tl.float32)
            top_cell = tl.full([BLOCK], cells, tl.int32)
            for first in tl.range(0, cells, BLOCK):
                rival = first + lane
                rest = tl.load(candidates + keypoint_map + rival, mask=rival < cells, other=float("-inf"))
                after = (rest < value) | ((rest == value) & (rival > where))
                rest = tl.where(after, rest, float("-inf"))
                top_cell = tl.where(rest > top, rival, top_cell)
                top = tl.maximum(rest, top)
            value, where = best_of(top, top_cell, cells)

"""The head, in numpy: the definition that every other form of it is held against.

    u_p   = x_p / max(‖x_p‖, ε)                     cells p = 0 … H·W−1, row-major
    s_k,p = u_p · θ_k                               similarity
    c_p   = max_n u_p · β_n                         clutter response, hard
    ĉ_p   = τ·log( w Σ_n m_n exp(u_p·β_n / τ) )     clutter response, soft; m_n vectors stand behind row n
    q_k,p = s | s − c | s − ĉ                       score, by rule: similarity | margin | log_odds
    peaks = the M best local maxima of q_k          best first

A cell is a local maximum if none of its eight neighbours is larger and no equal neighbour has a lower index.
With an empty clutter bank c = ĉ = −1, the lowest similarity there is. A cell with a NaN or infinite
feature has q = −∞ and is never a peak.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .spec import HeadSpec

EPSILON = 1e-12
NO_PEAK = -1  # index of a peak that does not exist (fewer than M local maxima)

Float = NDArray[np.float32]


class Peaks(NamedTuple):
    """The best cells of every keypoint, best first, B images × K keypoints × M peaks.

    A peak that does not exist has index −1 and −∞ everywhere else.
    """

    index: NDArray[np.int32]  # type: ignore[assignment]  # [B, K, M] row-major cell
    similarity: Float  # [B, K, M] s
    clutter: Float  # [B, K, M] c
    soft_clutter: Float  # [B, K, M] ĉ
    neighbourhood: Float  # [B, K, M, 3, 3] q around the peak, −∞ outside the map


class ScoreMaps(NamedTuple):
    """Every cell's quantities, for pictures, research and tests."""

    score: Float  # [B, K, H, W] q
    similarity: Float  # [B, K, H, W] s
    clutter: Float  # [B, H, W] c
    soft_clutter: Float  # [B, H, W] ĉ


def unit(x: Float, axis: int) -> Float:
    """x / max(‖x‖, ε) along `axis`."""
    norm = np.sqrt(np.sum(np.square(x), axis=axis, keepdims=True))
    with np.errstate(invalid="ignore"):  # ∞ / ∞ is NaN, which no peak has
        return np.asarray(x / np.maximum(norm, EPSILON))


def score_maps(
    features: Float,  # [B, C, H, W]
    prototypes: Float,  # [K, C], unit rows
    clutter: Float,  # [N, C], unit rows
    head: HeadSpec,
    counts: Float | None = None,  # [N], 1 each if None
) -> ScoreMaps:
    """The quantities of every cell, in the precision of `features` (float32 or float64)."""
    cells = unit(features, axis=1)
    similarity = np.einsum("kc,bchw->bkhw", prototypes, cells)
    if len(clutter) == 0:
        hard = soft = np.where(np.isnan(similarity[:, 0]), np.nan, -1.0).astype(features.dtype)
    else:
        products = np.einsum("nc,bchw->bnhw", clutter, cells)
        hard = products.max(axis=1)
        weights = head.clutter_weight * (np.ones(len(clutter)) if counts is None else counts)
        exponents = (products - hard[:, None]) / head.temperature
        total = np.einsum("n,bnhw->bhw", weights.astype(features.dtype), np.exp(exponents))
        soft = hard + head.temperature * np.log(total)
    against = {"similarity": 0.0, "margin": hard[:, None], "log_odds": soft[:, None]}[head.rule]
    score = similarity - against
    return ScoreMaps(np.where(np.isnan(score), -np.inf, score), similarity, hard, soft)


def neighbourhoods(score: Float) -> Float:
    """The 3×3 neighbourhood of every cell [B, K, H, W, 3, 3], −∞ outside the map."""
    padded = np.pad(score, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))


def local_maxima(score: Float) -> NDArray[np.bool_]:
    """Which cells [B, K, H, W] are local maxima."""
    around = neighbourhoods(score).reshape(*score.shape, 9)
    before, after = around[..., :4], around[..., 5:]
    centre = score[..., None]
    return (centre > before).all(-1) & (centre >= after).all(-1) & np.isfinite(score)


def find_peaks(maps: ScoreMaps, count: int) -> Peaks:
    """The `count` best local maxima of every score map."""
    b, k, h, w = maps.score.shape
    candidates = np.where(local_maxima(maps.score), maps.score, -np.inf).reshape(b, k, h * w)
    order = np.argsort(-candidates, axis=-1, kind="stable")[..., :count]
    if order.shape[-1] < count:
        order = np.pad(order, ((0, 0), (0, 0), (0, count - order.shape[-1])), mode="edge")
    found = np.isfinite(np.take_along_axis(candidates, order, -1))
    found &= np.arange(count) < h * w

    def at(quantity: Float) -> Float:
        flat = np.broadcast_to(quantity, (b, k, h, w)).reshape(b, k, h * w)
        return np.where(found, np.take_along_axis(flat, order, -1), -np.inf).astype(np.float32)

    around = neighbourhoods(maps.score).reshape(b, k, h * w, 3, 3)
    around = np.take_along_axis(around, order[..., None, None], axis=2)
    return Peaks(
        np.where(found, order, NO_PEAK).astype(np.int32),
        at(maps.similarity),
        at(maps.clutter[:, None]),
        at(maps.soft_clutter[:, None]),
        np.where(found[..., None, None], around, -np.inf).astype(np.float32),
    )


def match(
    features: Float,  # [B, C, H, W]
    prototypes: Float,  # [K, C], unit rows
    clutter: Float,  # [N, C], unit rows; N may be 0
    head: HeadSpec,
    counts: Float | None = None,  # [N]
) -> Peaks:
    """The whole head: features to peaks."""
    return find_peaks(score_maps(features, prototypes, clutter, head, counts), head.peaks)

"""The head, in torch: the twin of `reference.py`, for training, parity checks and speed comparisons.

Formulas and conventions (NaN, ties, an empty clutter bank, peaks that do not exist) are those of the numpy
definition. Inputs may be float16 or bfloat16: everything is computed in float32, or in float64 if the
features are float64. No gradient is needed through the peaks, so none is promised.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .reference import EPSILON, NO_PEAK
from .spec import HeadSpec


class Peaks(NamedTuple):
    """The tensors of `reference.Peaks`, on the device of the features."""

    index: Tensor  # type: ignore[assignment]  # int32 [B, K, M] row-major cell
    similarity: Tensor  # float32 [B, K, M] s
    clutter: Tensor  # float32 [B, K, M] c
    soft_clutter: Tensor  # float32 [B, K, M] ĉ
    neighbourhood: Tensor  # float32 [B, K, M, 3, 3] q around the peak, −∞ outside the map


class ScoreMaps(NamedTuple):
    """The tensors of `reference.ScoreMaps`, float32 or float64."""

    score: Tensor  # [B, K, H, W] q
    similarity: Tensor  # [B, K, H, W] s
    clutter: Tensor  # [B, H, W] c
    soft_clutter: Tensor  # [B, H, W] ĉ


def unit(x: Tensor, dim: int) -> Tensor:
    """x / max(‖x‖, ε) along `dim`."""
    return x / x.square().sum(dim, keepdim=True).sqrt().clamp_min(EPSILON)


def score_maps(
    features: Tensor,  # [B, C, H, W]
    prototypes: Tensor,  # [K, C], unit rows
    clutter: Tensor,  # [N, C], unit rows
    head: HeadSpec,
    counts: Tensor | None = None,  # [N], 1 each if None
) -> ScoreMaps:
    """The quantities of every cell."""
    precision = torch.float64 if features.dtype == torch.float64 else torch.float32
    cells = unit(features.to(precision), dim=1)
    similarity = torch.einsum("kc,bchw->bkhw", prototypes.to(precision), cells)
    if len(clutter) == 0:
        hard = soft = torch.where(similarity[:, 0].isnan(), torch.nan, -1.0).to(precision)
    else:
        products = torch.einsum("nc,bchw->bnhw", clutter.to(precision), cells)
        hard = products.amax(dim=1)
        exponentials = ((products - hard[:, None]) / head.temperature).exp()
        weights = exponentials.new_ones(len(clutter)) if counts is None else counts.to(exponentials)
        weights = head.clutter_weight * weights
        soft = hard + head.temperature * torch.einsum("n,bnhw->bhw", weights, exponentials).log()
    score = similarity
    if head.rule != "similarity":
        score = similarity - (hard if head.rule == "margin" else soft)[:, None]
    return ScoreMaps(score.masked_fill(score.isnan(), -torch.inf), similarity, hard, soft)


def neighbourhoods(score: Tensor) -> Tensor:
    """The 3×3 neighbourhood of every cell [B, K, H, W, 3, 3], −∞ outside the map."""
    padded = F.pad(score, (1, 1, 1, 1), value=-torch.inf)
    return padded.unfold(2, 3, 1).unfold(3, 3, 1)


def local_maxima(score: Tensor) -> Tensor:
    """Which cells [B, K, H, W] are local maxima."""
    around = neighbourhoods(score).flatten(-2)
    before, after = around[..., :4], around[..., 5:]
    centre = score[..., None]
    return (centre > before).all(-1) & (centre >= after).all(-1) & score.isfinite()


def find_peaks(maps: ScoreMaps, count: int) -> Peaks:
    """The `count` best local maxima of every score map."""
    b, k, h, w = maps.score.shape
    candidates = maps.score.masked_fill(~local_maxima(maps.score), -torch.inf).flatten(2)
    candidates = F.pad(candidates, (0, count), value=-torch.inf)  # there may be fewer cells than peaks
    # A stable sort: torch.topk promises no order among equals.
    values, order = candidates.sort(dim=-1, descending=True, stable=True)
    found = values[..., :count].isfinite()
    order = order[..., :count].where(found, 0)

    def at(quantity: Tensor) -> Tensor:
        flat = quantity.expand(b, k, h, w).flatten(2)
        return flat.gather(-1, order).where(found, -torch.inf).float()

    around = neighbourhoods(maps.score).reshape(b, k, h * w, 9)
    around = around.gather(2, order[..., None].expand(-1, -1, -1, 9)).where(found[..., None], -torch.inf)
    return Peaks(
        order.where(found, NO_PEAK).int(),
        at(maps.similarity),
        at(maps.clutter[:, None]),
        at(maps.soft_clutter[:, None]),
        around.reshape(b, k, count, 3, 3).float(),
    )


def match(
    features: Tensor,  # [B, C, H, W]
    prototypes: Tensor,  # [K, C], unit rows
    clutter: Tensor,  # [N, C], unit rows; N may be 0
    head: HeadSpec,
    counts: Tensor | None = None,  # [N]
) -> Peaks:
    """The whole head: features to peaks."""
    return find_peaks(score_maps(features, prototypes, clutter, head, counts), head.peaks)

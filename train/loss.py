"""The loss against the two banks, and the terms over all cells of the image.

Symbols: f unit features, θ_j prototypes, β_c clutter, p_k position of keypoint k in crop pixels, τ temperature,
w clutter weight, h the heights of a heat map. Sources: the authors' training code for `contrastive` and `repulsion`;
`dense`, `presence` and `placement` are ours, the first two at τ = 1 with logits for similarities the cross-entropy of a
heat map; `squared` is the usual regression of heat maps.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from coke_edge.train.distributed import process_count, total


def contrastive(
    features: Tensor,  # [n, C] unit, at visible keypoints
    keypoint: Tensor,  # [n] which keypoint each one is
    near: Tensor,  # [n, K] bool: prototypes left out because keypoint j lies within δ of this one
    prototypes: Tensor,  # [K, C]
    clutter: Tensor,  # [N, C]
    temperature: float,
    clutter_weight: float,
) -> Tensor:
    """mean over n of  −log  exp(f·θ_k/τ) / ( Σ_{j = k or ‖p_j − p_k‖ > δ} exp(f·θ_j/τ) + w Σ_c exp(f·β_c/τ) )."""
    if len(keypoint) == 0:
        return mean_or_zero(keypoint, features)
    logits = features @ prototypes.T / temperature
    own = F.one_hot(keypoint, len(prototypes)).bool()
    logits = logits.masked_fill(near & ~own, -math.inf)
    against = features @ clutter.T / temperature + math.log(clutter_weight)
    return mean_or_zero(torch.logsumexp(torch.cat([logits, against], dim=1), dim=1) - logits[own], features)


def repulsion(clutter: Tensor, prototypes: Tensor) -> Tensor:
    """mean over this step's clutter features [n, C] and prototypes [K, C] of f_c · θ_j."""
    return mean_or_zero((clutter @ prototypes.T).mean(1), clutter)


def dense(
    similarity: Tensor,  # [B, K, H, W] u_p · θ_k
    cells: Tensor,  # [B, K, 2] fractional (column, row) of each keypoint
    visible: Tensor,  # [B, K] bool
    temperature: float,
    sigma: float,
) -> Tensor:
    """mean over visible keypoints of  −Σ_p t_p log softmax_p(u_p·θ_k / τ),  p over all cells of the image.

    t is a Gaussian of `sigma` cells around the keypoint, normalised over the map.
    """
    _, _, h, w = similarity.shape
    logits = similarity.flatten(2)[visible] / temperature  # [n, H·W]
    target = gaussian(cells[visible], h, w, sigma).to(logits.dtype)
    return mean_or_zero(-(target * F.log_softmax(logits, dim=1)).sum(1), similarity)


def presence(
    similarity: Tensor,  # [B, K, H, W] u_p · θ_k
    visible: Tensor,  # [B, K] bool
    hidden: Tensor,  # [B, K] bool
    null_logit: Tensor,  # ν [K]
    temperature: float,
) -> Tensor:
    """mean over visible and hidden keypoints of  −log P,  P(visible) = Z / (Z + exp ν_k),  Z = Σ_p exp(u_p·θ_k/τ).

    ν_k is the logit of a null class, "nowhere in this image", beside the cells: together with `dense` at equal
    weights this is one softmax over the cells and the null class.
    """
    excess = torch.logsumexp(similarity.flatten(2) / temperature, dim=2) - null_logit  # [B, K]
    terms = torch.cat([F.softplus(-excess[visible]), F.softplus(excess[hidden])])
    return mean_or_zero(terms, similarity)


def placement(
    similarity: Tensor,  # [B, K, H, W] u_p · θ_k
    hidden_similarity: Tensor,  # [B, K, H, W] u_p · η_k, η the prototypes of hidden keypoints
    cells: Tensor,  # [B, K, 2] fractional (column, row) of each keypoint
    visible: Tensor,  # [B, K] bool
    hidden: Tensor,  # [B, K] bool
    temperature: float,
    sigma: float,
) -> Tensor:
    """mean over visible and hidden keypoints of  −Σ_{p,o} t_{p,o} log softmax_{p,o}(u_p·θ^o_k / τ),  θ^o ∈ {θ, η}.

    p runs over all cells, o over the two states; t is the Gaussian of `dense` around the keypoint, in the map of the
    state that it is in. So the features learn where a hidden keypoint is, from what is around it, and to tell that from
    seeing it. A hidden keypoint that is annotated without a place is left out.
    """
    _, _, h, w = similarity.shape
    known = (visible | hidden) & cells.isfinite().all(-1)
    logits = torch.cat([similarity.flatten(2)[known], hidden_similarity.flatten(2)[known]], 1) / temperature
    target = gaussian(cells[known], h, w, sigma).to(logits.dtype)
    seen = visible[known][:, None]
    target = torch.cat([target * seen, target * ~seen], 1)
    return mean_or_zero(-(target * F.log_softmax(logits, dim=1)).sum(1), logits)


def squared(
    height: Tensor,  # [B, K, H, W]
    cells: Tensor,  # [B, K, 2] fractional (column, row) of each keypoint
    visible: Tensor,  # [B, K] bool
    sigma: float,
) -> Tensor:
    """mean over visible keypoints of  Σ_p (h_p − g_p)²,  g a Gaussian of `sigma` cells and height 1 around each."""
    _, _, h, w = height.shape
    target = bumps(cells[visible], h, w, sigma).to(height.dtype)
    return mean_or_zero((height.flatten(2)[visible] - target).square().sum(1), height)


def emptiness(height: Tensor, hidden: Tensor) -> Tensor:
    """mean over hidden keypoints, bool [B, K], of  Σ_p h_p²  over their maps [B, K, H, W]: they are nowhere."""
    return mean_or_zero(height.flatten(2)[hidden].square().sum(1), height)


def mean_or_zero(terms: Tensor, anchor: Tensor) -> Tensor:
    """The mean, or a zero that still belongs to the graph of `anchor` if there is no term.

    Where several processes have a part of the batch each, it is this one's part of the mean over the terms of all,
    times their number: the mean over processes, of these and of their gradients, is that of the whole batch.
    """
    processes = process_count()
    if processes == 1:
        return terms.mean() if len(terms) else anchor.sum() * 0.0
    count = total(torch.tensor(len(terms), device=anchor.device)).clamp_min(1)
    return terms.sum() * (processes / count) if len(terms) else anchor.sum() * 0.0


def gaussian(cells: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """Gaussians [n, H·W] around fractional cells [n, 2] (column, row), each of sum 1."""
    g = bumps(cells, height, width, sigma)
    return g / g.sum(1, keepdim=True).clamp_min(1e-12)


def bumps(cells: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """Gaussians [n, H·W] around fractional cells [n, 2] (column, row), each of height 1."""
    x = torch.arange(width, device=cells.device, dtype=torch.float32)
    y = torch.arange(height, device=cells.device, dtype=torch.float32)
    gx = torch.exp(-((x - cells[:, :1]) ** 2) / (2 * sigma**2))  # [n, W]
    gy = torch.exp(-((y - cells[:, 1:]) ** 2) / (2 * sigma**2))  # [n, H]
    return (gy[:, :, None] * gx[:, None, :]).flatten(1)

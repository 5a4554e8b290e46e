"""The loss against the two banks, and the dense term over the cells of the image.

Symbols: f unit features, θ_j prototypes, β_c clutter, p_k position of keypoint k in crop pixels, τ temperature,
w clutter weight. Sources: the authors' training code for `contrastive` and `repulsion`; `dense` is ours.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive(
    features: Tensor,  # [n, C] unit, at labelled keypoints
    keypoint: Tensor,  # [n] which keypoint each one is
    near: Tensor,  # [n, K] bool: prototypes left out because keypoint j lies within δ of this one
    prototypes: Tensor,  # [K, C]
    clutter: Tensor,  # [N, C]
    temperature: float,
    clutter_weight: float,
) -> Tensor:
    """mean over n of  −log  exp(f·θ_k/τ) / ( Σ_{j = k or ‖p_j − p_k‖ > δ} exp(f·θ_j/τ) + w Σ_c exp(f·β_c/τ) )."""
    if len(keypoint) == 0:
        return features.sum() * 0.0 + prototypes.sum() * 0.0
    logits = features @ prototypes.T / temperature
    own = F.one_hot(keypoint, len(prototypes)).bool()
    logits = logits.masked_fill(near & ~own, -math.inf)
    against = features @ clutter.T / temperature + math.log(clutter_weight)
    return (torch.logsumexp(torch.cat([logits, against], dim=1), dim=1) - logits[own]).mean()


def repulsion(clutter: Tensor, prototypes: Tensor) -> Tensor:
    """mean over this step's clutter features [n, C] and prototypes [K, C] of f_c · θ_j."""
    if len(clutter) == 0:
        return clutter.sum() * 0.0
    return (clutter @ prototypes.T).mean()


def dense(
    similarity: Tensor,  # [B, K, H, W] u_p · θ_k
    cells: Tensor,  # [B, K, 2] fractional (column, row) of each keypoint
    visible: Tensor,  # [B, K] bool: the target is a Gaussian around the keypoint's cell
    absent: Tensor,  # [B, K] bool: the target is the null class, "nowhere in this image"
    null_logit: Tensor | None,  # [K], a learned logit beside the cells'; None: no null class, `absent` unused
    temperature: float,
    sigma: float,
) -> Tensor:
    """mean over keypoints of  −Σ_p t_p log softmax_p(u_p·θ_k / τ),  p over all cells (and the null class).

    t is a Gaussian of `sigma` cells around the keypoint, normalised over the map.
    """
    b, k, h, w = similarity.shape
    logits = similarity.flatten(2) / temperature
    if null_logit is not None:
        logits = torch.cat([logits, null_logit.to(logits.dtype).view(1, k, 1).expand(b, k, 1)], dim=2)
    else:
        absent = torch.zeros_like(absent)
    log_p = F.log_softmax(logits, dim=2)
    target = gaussian(cells[visible], h, w, sigma).to(log_p.dtype)  # [n, H·W]
    located = -(target * log_p[visible][:, : h * w]).sum(1)
    nowhere = -log_p[absent][:, -1]
    terms = torch.cat([located, nowhere])
    return terms.mean() if len(terms) else similarity.sum() * 0.0


def gaussian(cells: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """Normalised Gaussians [n, H·W] around fractional cells [n, 2] (column, row)."""
    x = torch.arange(width, device=cells.device, dtype=torch.float32)
    y = torch.arange(height, device=cells.device, dtype=torch.float32)
    gx = torch.exp(-((x - cells[:, :1]) ** 2) / (2 * sigma**2))  # [n, W]
    gy = torch.exp(-((y - cells[:, 1:]) ** 2) / (2 * sigma**2))  # [n, H]
    g = (gy[:, :, None] * gx[:, None, :]).flatten(1)
    return g / g.sum(1, keepdim=True).clamp_min(1e-12)

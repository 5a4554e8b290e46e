"""Which cells of the feature map a step looks at: those under keypoints, and some that are clutter."""

from __future__ import annotations

import torch
from torch import Tensor

from coke_edge.train.batch import Batch
from coke_edge.train.data.sample import HIDDEN, VISIBLE
from coke_edge.train.recipe import Recipe


def cells_of(points: Tensor, stride: int) -> Tensor:
    """Crop pixels [..., 2] to fractional cells (column, row) [..., 2]; as `geometry.crop_to_cells`."""
    return (points + 0.5) / stride - 0.5


def gather_cells(features: Tensor, cells: Tensor) -> Tensor:
    """The features [B, K, C] of map [B, C, H, W] at the nearest cells to [B, K, 2] (NaN: cell 0)."""
    b, c, h, w = features.shape
    nearest = cells.nan_to_num(0.0).round().long()
    index = nearest[..., 1].clamp(0, h - 1) * w + nearest[..., 0].clamp(0, w - 1)  # [B, K]
    flat = features.flatten(2)  # [B, C, H·W]
    return flat.gather(2, index[:, None].expand(b, c, -1)).transpose(1, 2)


@torch.no_grad()
def draw_clutter(
    features: Tensor, prototypes: Tensor, batch: Batch, recipe: Recipe, stride: int
) -> tuple[Tensor, Tensor]:
    """Indices [m] into the batch's B·H·W cells that are drawn as clutter, and those that join them, by image.

    Per image, `clutter_per_image` cells that lie farther than `clutter_distance` px from every visible keypoint
    (at distance 0: other than the keypoints' own cells) and, if asked, outside the box: uniformly, or with
    `clutter_hard` those most like a prototype among four times as many. With `clutter_covered` the cells of hidden
    keypoints join them.
    """
    b, _, h, w = features.shape
    device = features.device
    row, column = torch.meshgrid(
        torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij"
    )
    centre = (torch.stack([column, row], -1).float() + 0.5) * stride - 0.5  # [h, w, 2] crop px
    points = batch.keypoints.masked_fill((batch.visibility != VISIBLE)[..., None], torch.nan)
    reach = max(recipe.clutter_distance, stride / 2)
    gap = (centre.view(1, h, w, 1, 2) - points.view(b, 1, 1, -1, 2)).abs()
    near = gap.square().sum(-1).sqrt() <= reach if recipe.clutter_distance > 0 else (gap <= reach).all(-1)
    allowed = ~near.any(-1)  # [B, h, w]; NaN compares false
    if recipe.clutter_outside_box:
        x0, y0, x1, y1 = (batch.box[:, i].view(b, 1, 1) for i in range(4))
        x, y = centre[..., 0], centre[..., 1]
        allowed &= (x < x0) | (x > x1) | (y < y0) | (y > y1)
    chosen = choose(features, prototypes, allowed.flatten(1), batch.seed, recipe)
    if not recipe.clutter_covered:
        return chosen, chosen[:0]
    # The cell of a visible keypoint is none, whatever else is there.
    own = (gap <= stride / 2).all(-1).any(-1).flatten()
    covered = covered_cells(batch, h, w, stride)
    return chosen, covered[~own[covered]]


def choose(features: Tensor, prototypes: Tensor, allowed: Tensor, seed: Tensor, recipe: Recipe) -> Tensor:
    """Up to `clutter_per_image` of the allowed cells [B, H·W] of every image, as indices into all B·H·W."""
    b, cells = allowed.shape
    noise = torch.stack(
        [torch.rand(cells, generator=torch.Generator().manual_seed(int(s))) for s in seed.tolist()]
    ).to(allowed.device)
    rank = noise.masked_fill(~allowed, -1.0)
    wanted = min(recipe.clutter_per_image, cells)
    if recipe.clutter_hard:
        pool = rank.topk(min(4 * wanted, cells), dim=1).indices
        likeness = torch.einsum("kc,bcp->bkp", prototypes, features.flatten(2)).amax(1)  # [B, H·W]
        hardest = (
            likeness.gather(1, pool).masked_fill(rank.gather(1, pool) < 0, -2.0).topk(wanted, dim=1).indices
        )
        picked = pool.gather(1, hardest)
    else:
        picked = rank.topk(wanted, dim=1).indices
    keep = allowed.gather(1, picked)
    return (picked + cells * torch.arange(b, device=picked.device)[:, None])[keep]


def covered_cells(batch: Batch, height: int, width: int, stride: int) -> Tensor:
    """The cells of hidden keypoints that lie in the crop, as indices into all B·H·W."""
    hidden = (batch.visibility == HIDDEN) & ~batch.keypoints.isnan().any(-1)
    image = hidden.nonzero()[:, 0]
    cell = cells_of(batch.keypoints[hidden], stride).round().long()
    inside = (cell >= 0).all(-1) & (cell[:, 0] < width) & (cell[:, 1] < height)
    flat = image * height * width + cell[:, 1] * width + cell[:, 0]
    return flat[inside]

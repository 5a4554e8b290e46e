"""The whole network: backbone, neck, the two banks, and the losses that tie them together."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coke_edge.errors import CokeError
from coke_edge.train import loss
from coke_edge.train.backbone import create_backbone, freeze
from coke_edge.train.banks import ClutterBank, KeypointBank
from coke_edge.train.data.sample import HIDDEN, VISIBLE
from coke_edge.train.fold import fold_batchnorm
from coke_edge.train.neck import Neck
from coke_edge.train.recipe import Recipe
from coke_edge.train.sampling import cells_of, draw_clutter, gather_cells

STRIDE = 8


class Batch(NamedTuple):
    """B crops with their labels; coordinates in crop pixels, pixel centres at integers."""

    image: Tensor  # uint8 [B, H, W, 3] BGR
    keypoints: Tensor  # float32 [B, K, 2], NaN where the place is not known
    visibility: Tensor  # uint8 [B, K], UNLABELLED | HIDDEN | VISIBLE
    box: Tensor  # float32 [B, 4]
    seed: Tensor  # int64 [B], for what is drawn at random from the crop's cells

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return Batch(*(t.to(device, non_blocking=True) for t in self))


class Losses(NamedTuple):
    """One step's loss and its unweighted parts."""

    total: Tensor
    contrastive: Tensor
    repulsion: Tensor
    dense: Tensor
    presence: Tensor


class CokeModel(nn.Module):
    """Backbone and neck to features [B, C, H/8, W/8], prototypes [K, C], clutter [n, C]."""

    mean: Tensor
    std: Tensor

    def __init__(self, recipe: Recipe, keypoints: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.backbone = create_backbone(recipe.backbone, recipe.pretrained)
        if recipe.fold_batchnorm:
            fold_batchnorm(self.backbone, torch.rand(1, 3, 64, 64))
        freeze(self.backbone, recipe.freeze_to_stride)
        info = self.backbone.feature_info
        self.neck = Neck(info.channels(), recipe.channels, recipe.context)  # type: ignore[union-attr, operator]
        self.keypoint_bank = KeypointBank(
            keypoints, recipe.channels, recipe.prototypes, recipe.prototype_momentum, recipe.prototype_cap
        )
        self.clutter_bank = ClutterBank(recipe.clutter_size, recipe.channels)
        self.null_logit = nn.Parameter(torch.zeros(keypoints)) if recipe.presence else None
        normalisation = self.backbone.pretrained_cfg
        self.register_buffer("mean", torch.tensor(normalisation["mean"]))  # type: ignore[index]
        self.register_buffer("std", torch.tensor(normalisation["std"]))  # type: ignore[index]

    @property
    def prototypes(self) -> Tensor:
        """θ [K, C], unit rows."""
        return self.keypoint_bank.prototypes()

    @property
    def clutter(self) -> Tensor:
        """β [n, C], the rows written so far, unit rows."""
        return self.clutter_bank.vectors()

    def features(self, image: Tensor) -> Tensor:
        """uint8 BGR [B, H, W, 3] → features [B, C, H/8, W/8], not yet of unit length."""
        if image.shape[1] % 32 or image.shape[2] % 32:
            raise CokeError(f"A crop's sides must be multiples of 32, not {image.shape[2]}×{image.shape[1]}.")
        x = normalise(image, self.mean, self.std).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.neck(self.backbone(x))
        return out

    def forward(self, batch: Batch) -> Losses:
        """The losses of a batch, then the banks take its features in."""
        # Under mixed precision the network alone runs in it: labels in pixels and a softmax at τ = 0.07 need float32.
        mixed = self.recipe.precision == "bf16"
        with torch.autocast(batch.image.device.type, torch.bfloat16, enabled=mixed):
            features = self.features(batch.image)
        return self.losses(F.normalize(features.float(), dim=1), batch)

    def losses(self, unit: Tensor, batch: Batch) -> Losses:
        """The losses of unit features [B, C, H/8, W/8]; in training mode the banks then take them in."""
        recipe = self.recipe
        theta, beta = self.prototypes, self.clutter.clone()  # the bank changes before the backward pass
        visible, hidden = batch.visibility == VISIBLE, batch.visibility == HIDDEN
        cells = cells_of(batch.keypoints, STRIDE)  # [B, K, 2] fractional (column, row)

        own = gather_cells(unit, cells)[visible]  # [n, C]
        keypoint = visible.nonzero()[:, 1]
        distance = torch.cdist(batch.keypoints.nan_to_num(1e6), batch.keypoints.nan_to_num(-1e6))
        near = (distance <= recipe.near)[visible]  # [n, K]
        clutter = draw_clutter(unit.detach(), theta.detach(), batch, recipe, STRIDE)
        drawn = unit.permute(0, 2, 3, 1).flatten(0, 2)[clutter]  # [m, C]
        similarity = torch.einsum("kc,bchw->bkhw", theta, unit)
        tau = recipe.temperature
        parts = {name: unit.new_zeros(()) for name in Losses._fields if name != "total"}
        if recipe.contrastive:
            parts["contrastive"] = loss.contrastive(
                own, keypoint, near, theta, beta, tau, recipe.clutter_weight
            )
        if recipe.repulsion:
            parts["repulsion"] = loss.repulsion(drawn, theta)
        if recipe.dense:
            parts["dense"] = loss.dense(similarity, cells, visible, tau, recipe.dense_sigma)
        if self.null_logit is not None:
            parts["presence"] = loss.presence(similarity, visible, hidden, self.null_logit, tau)
        total = torch.stack([getattr(recipe, name) * part for name, part in parts.items()]).sum()
        if self.training:
            self.keypoint_bank.update(own.detach(), keypoint)
            self.clutter_bank.push(drawn.detach())
        return Losses(total=total, **parts)


def normalise(image: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 BGR [B, H, W, 3] → float RGB [B, 3, H, W], (x/255 − mean)/std; mean and std [3] in RGB order."""
    x = image.to(mean.dtype).permute(0, 3, 1, 2).flip(1)
    return (x - 255.0 * mean.view(1, 3, 1, 1)) / (255.0 * std.view(1, 3, 1, 1))

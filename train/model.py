"""CoKe: features that resemble their keypoint's prototype, and nothing else's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from coke_edge.kernels import torch_reference
from coke_edge.kernels.spec import HeadSpec
from coke_edge.kernels.torch_reference import ScoreMaps
from coke_edge.train import loss
from coke_edge.train.banks import ClutterBank, KeypointBank
from coke_edge.train.batch import Batch
from coke_edge.train.data.sample import HIDDEN, VISIBLE
from coke_edge.train.method import Losses, Method, pyramid, weighted
from coke_edge.train.null_class import NullClass
from coke_edge.train.recipe import Recipe
from coke_edge.train.sampling import cells_of, draw_clutter, gather_cells


class CokeModel(Method):
    """Backbone and neck to features [B, C, H/8, W/8], prototypes [K, C], clutter [n, C]."""

    stride = 8
    rules = ("similarity", "margin", "log_odds")
    per_keypoint = ("keypoint_bank.", "null_class.", "hidden_bank.")

    def __init__(self, recipe: Recipe, keypoints: int) -> None:
        super().__init__(recipe, *pyramid(recipe))
        self.keypoint_bank = KeypointBank(
            keypoints, recipe.channels, recipe.prototypes, recipe.prototype_momentum, recipe.prototype_cap
        )
        self.clutter_bank = ClutterBank(recipe.clutter_size, recipe.channels)
        self.null_class = NullClass(keypoints, recipe.temperature) if recipe.presence else None
        self.hidden_bank = KeypointBank(keypoints, recipe.channels, "learned") if recipe.placement else None
        self.hidden_maps = self.hidden_bank is not None

    @property
    def prototypes(self) -> Tensor:
        """θ [K, C], unit rows."""
        return self.keypoint_bank.prototypes()

    @property
    def all_prototypes(self) -> Tensor:
        """θ [K, C], and behind them those of hidden keypoints η [K, C] if there are any: one for each score map."""
        return (
            torch.cat([self.prototypes, self.hidden_bank.prototypes()])
            if self.hidden_bank
            else self.prototypes
        )

    @property
    def clutter(self) -> Tensor:
        """β [n, C], the rows written so far, unit rows."""
        return self.clutter_bank.vectors()

    def losses(self, features: Tensor, batch: Batch) -> Losses:
        """The losses of features [B, C, H/8, W/8]; in training mode the banks then take them in."""
        recipe = self.recipe
        unit = F.normalize(features, dim=1)
        theta, beta = self.prototypes, self.clutter.clone()  # the bank changes before the backward pass
        visible, hidden = batch.visibility == VISIBLE, batch.visibility == HIDDEN
        cells = cells_of(batch.keypoints, self.stride)  # [B, K, 2] fractional (column, row)

        own = gather_cells(unit, cells)[visible]  # [n, C]
        keypoint = visible.nonzero()[:, 1]
        distance = torch.cdist(batch.keypoints.nan_to_num(1e6), batch.keypoints.nan_to_num(-1e6))
        near = (distance <= recipe.near)[visible]  # [n, K]
        clutter = draw_clutter(unit.detach(), theta.detach(), batch, recipe, self.stride)
        drawn = unit.permute(0, 2, 3, 1).flatten(0, 2)[torch.cat(clutter)]  # [m, C]
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
        if self.null_class:
            null = self.null_class(similarity)
            parts["presence"] = loss.presence(similarity, visible, hidden, null, tau)
        if self.hidden_bank:
            covered = torch.einsum("kc,bchw->bkhw", self.hidden_bank.prototypes(), unit)
            parts["placement"] = loss.placement(
                similarity, covered, cells, visible, hidden, tau, recipe.dense_sigma
            )
        if self.training:
            self.keypoint_bank.update(own.detach(), keypoint)
            self.clutter_bank.push(*torch.split(drawn.detach(), [len(cells) for cells in clutter]))
        return weighted(recipe, parts)

    def score_maps(self, image: Tensor, head: HeadSpec) -> ScoreMaps:
        """The head, as `kernels.reference` defines it, on the features of images."""
        return torch_reference.score_maps(
            self.features(image).float(), self.all_prototypes, self.clutter, head
        )

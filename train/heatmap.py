"""Heat-map regression, the baseline: one map per keypoint, whose highest cell is the keypoint.

With the cross-entropy the K maps z are logits: one softmax over all cells and, where it is trained, the null class,
"nowhere in this image". With the squared error they are heights: a Gaussian of height 1 around a visible keypoint and,
where a null class is trained, nothing for a hidden one.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from coke_edge.kernels.reference import NO_PEAK
from coke_edge.kernels.spec import HeadSpec
from coke_edge.kernels.torch_reference import Peaks, ScoreMaps, find_peaks
from coke_edge.train import loss
from coke_edge.train.batch import Batch
from coke_edge.train.data.sample import HIDDEN, VISIBLE
from coke_edge.train.method import Losses, Method, pyramid
from coke_edge.train.null_class import NullClass
from coke_edge.train.recipe import Recipe
from coke_edge.train.sampling import cells_of

FLOOR = 1e-3  # height below which the squared error tells nothing apart


class MapRegression(Method):
    """Any network that gives K maps, possibly several times, each time supervised; the last ones count."""

    rules = ("similarity",)

    def __init__(
        self,
        recipe: Recipe,
        keypoints: int,
        backbone: nn.Module,
        neck: nn.Module,
        kind: Literal["cross_entropy", "mse"],
    ) -> None:
        super().__init__(recipe, backbone, neck)
        self.kind = kind
        learned = kind == "cross_entropy" and recipe.presence > 0
        self.null_class = NullClass(keypoints, recipe.temperature) if learned else None

    @abstractmethod
    def maps(self, features: Tensor) -> Tensor:
        """What the neck gives → S times K maps [B, S, K, H, W]."""

    def losses(self, features: Tensor, batch: Batch) -> Losses:
        """Σ over the S sets of maps of `dense` + the recipe's presence · `presence`.

        With maps of hidden keypoints, the recipe's placement · `placement` of them and the last set, too.
        """
        visible, hidden = batch.visibility == VISIBLE, batch.visibility == HIDDEN
        cells = cells_of(batch.keypoints, self.stride)
        dense, presence = features.new_zeros(()), features.new_zeros(())
        for maps in self.maps(features).unbind(1):
            if self.kind == "mse":
                dense = dense + loss.squared(maps, cells, visible, self.recipe.heatmap_sigma)
                if self.recipe.presence:
                    presence = presence + loss.emptiness(maps, hidden)
            else:
                dense = dense + loss.dense(maps, cells, visible, 1.0, self.recipe.dense_sigma)
                if self.null_class:
                    null = self.null_class(maps)
                    presence = presence + loss.presence(maps, visible, hidden, null, 1.0)
        none = features.new_zeros(())
        placement, covered = none, self.maps_of_hidden(features)
        if covered is not None:
            placement = loss.placement(maps, covered, cells, visible, hidden, 1.0, self.recipe.dense_sigma)
        total = dense + self.recipe.presence * presence + self.recipe.placement * placement
        return Losses(total, none, none, dense, presence, placement)

    def maps_of_hidden(self, features: Tensor) -> Tensor | None:
        """What the neck gives → K maps [B, K, H, W] of hidden keypoints; None: there are none."""
        return None

    def score_maps(self, image: Tensor, head: HeadSpec) -> ScoreMaps:
        """Score: z, or the logarithm of the height, so that a Gaussian's top is found exactly between cells.

        Similarity, which visibility is read from: the logarithm of the cell's probability, or the height. There is
        no clutter: its responses are −1, as of an empty bank. Maps of hidden keypoints stand behind the others.
        """
        features = self.features(image).float()
        maps, covered = self.maps(features)[:, -1], self.maps_of_hidden(features)
        scored = self.scored(maps, self.log_total(maps))
        if covered is None:
            return scored
        behind = self.scored(covered, covered.flatten(2).logsumexp(2))
        score, similarity = (torch.cat(parts, 1) for parts in zip(scored[:2], behind[:2], strict=True))
        return scored._replace(score=score, similarity=similarity)

    def peaks(self, image: Tensor, head: HeadSpec) -> Peaks:
        """As of every method; with a null class the soft clutter response is log P(absent), the same at all M peaks.

        So P(visible) of a heat map, too, is read from two quantities: how likely the place is, and how likely none is.
        """
        maps = self.score_maps(image, head)
        found = find_peaks(maps, head.peaks)
        if not self.null_class:
            return found
        count = len(self.null_class.similarity)
        total = (maps.score - maps.similarity)[:, :count, 0, 0]
        absent = found.soft_clutter.clone()
        absent[:, :count] = (self.null_class(maps.score) - total)[..., None]
        return found._replace(soft_clutter=absent.where(found.index != NO_PEAK, -torch.inf))

    def scored(self, maps: Tensor, total: Tensor) -> ScoreMaps:
        """What `score_maps` gives, from maps [B, K, H, W] and, of logits, their `log_total` [B, K]."""
        nothing = torch.full_like(maps[:, 0], -1.0)
        if self.kind == "mse":
            return ScoreMaps(maps.clamp_min(FLOOR).log(), maps, nothing, nothing)
        return ScoreMaps(maps, maps - total[..., None, None], nothing, nothing)

    def log_total(self, maps: Tensor) -> Tensor:
        """The logarithm [B, K] of what a softmax over all cells and the null class divides by."""
        total = maps.flatten(2).logsumexp(2)
        return torch.logaddexp(total, self.null_class(maps)) if self.null_class else total


class HeatmapModel(MapRegression):
    """CoKe's backbone and neck, and a 1×1 convolution to K maps at stride 8 in place of the banks."""

    stride = 8
    per_keypoint = ("head.", "null_class.", "hidden_head.")

    def __init__(self, recipe: Recipe, keypoints: int) -> None:
        kind = "cross_entropy" if recipe.heatmap_loss == "auto" else recipe.heatmap_loss
        super().__init__(recipe, keypoints, *pyramid(recipe), kind)
        self.head = last_layer(recipe.channels, keypoints)
        placed = kind == "cross_entropy" and recipe.placement > 0
        self.hidden_head = last_layer(recipe.channels, keypoints) if placed else None
        self.hidden_maps = placed

    def maps(self, features: Tensor) -> Tensor:
        """Features [B, C, H/8, W/8] → [B, 1, K, H/8, W/8]."""
        out: Tensor = self.head(features)[:, None]
        return out

    def maps_of_hidden(self, features: Tensor) -> Tensor | None:
        """Features [B, C, H/8, W/8] → [B, K, H/8, W/8], from a layer of their own."""
        return self.hidden_head(features) if self.hidden_head else None


def last_layer(channels: int, keypoints: int) -> nn.Conv2d:
    """The 1×1 convolution to the maps; they begin near 0, which is right for nearly every cell."""
    layer = nn.Conv2d(channels, keypoints, 1)
    nn.init.normal_(layer.weight, std=1e-3)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer

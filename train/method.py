"""What every method is: a network from crops to score maps, and the loss that trains it.

Training, calibration, evaluation and the torch backend know a model as a `Method` only; which one a run trains is
the recipe's key `method`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from coke_edge.errors import CokeError
from coke_edge.kernels.spec import HeadSpec, Rule
from coke_edge.kernels.torch_reference import Peaks, ScoreMaps, find_peaks
from coke_edge.train.backbone import create_backbone, freeze
from coke_edge.train.batch import Batch
from coke_edge.train.fold import fold_batchnorm
from coke_edge.train.neck import Neck
from coke_edge.train.recipe import Recipe


class Losses(NamedTuple):
    """One step's loss and its unweighted parts; a part that a method does not have is 0."""

    total: Tensor
    contrastive: Tensor
    repulsion: Tensor
    dense: Tensor  # over all cells: CoKe's dense term, or the whole loss of a heat map
    presence: Tensor
    placement: Tensor


class Method(nn.Module, ABC):
    """A network, its loss, and how its output is scored.

    `backbone` takes normalised images [B, 3, H, W] to maps at several strides, `neck` those to one map at `stride`.
    """

    stride: ClassVar[int]  # px between the cells of the score maps
    rules: ClassVar[tuple[Rule, ...]]  # score rules that calibration may choose from, the plainest first
    per_keypoint: ClassVar[
        tuple[str, ...]
    ] = ()  # beginnings of the names of tensors with a row for each keypoint
    hidden_maps = False  # whether there is a second map for each keypoint, of where it is when hidden
    mean: Tensor
    std: Tensor

    def __init__(self, recipe: Recipe, backbone: nn.Module, neck: nn.Module) -> None:
        super().__init__()
        self.recipe = recipe
        self.backbone = backbone
        self.neck = neck
        normalisation = backbone.pretrained_cfg
        self.register_buffer("mean", torch.tensor(normalisation["mean"]))  # type: ignore[index]
        self.register_buffer("std", torch.tensor(normalisation["std"]))  # type: ignore[index]

    def features(self, image: Tensor) -> Tensor:
        """uint8 BGR [B, H, W, 3] → what the neck makes of it, [B, …, H/stride, W/stride]."""
        unit = 16 * self.recipe.stem_stride  # the coarsest stride
        if image.shape[1] % unit or image.shape[2] % unit:
            raise CokeError(
                f"A crop's sides must be multiples of {unit}, not {image.shape[2]}×{image.shape[1]}."
            )
        image = image.to(self.mean.device)
        x = normalise(image, self.mean, self.std).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.neck(self.backbone(x))
        return out

    def forward(self, batch: Batch) -> Losses:
        """The losses of a batch."""
        # Under mixed precision the network alone runs in it: labels in pixels and a softmax at τ = 0.07 need float32.
        mixed = self.recipe.precision == "bf16"
        with torch.autocast(batch.image.device.type, torch.bfloat16, enabled=mixed):
            features = self.features(batch.image)
        return self.losses(features.float(), batch)

    @abstractmethod
    def losses(self, features: Tensor, batch: Batch) -> Losses:
        """The losses of a batch from its features; in training mode a method may also learn from them otherwise."""

    @abstractmethod
    def score_maps(self, image: Tensor, head: HeadSpec) -> ScoreMaps:
        """uint8 BGR [B, H, W, 3] → every cell's score and quantities, float32, at `stride`."""

    def peaks(self, image: Tensor, head: HeadSpec) -> Peaks:
        """uint8 BGR [B, H, W, 3] → the best local maxima of every score map, and what P(visible) is read from there."""
        return find_peaks(self.score_maps(image, head), head.peaks)


def pyramid(recipe: Recipe) -> tuple[nn.Module, Neck]:
    """The recipe's backbone, prepared for training, and the neck that makes one map at stride 8 of all of its."""
    backbone = prepared(create_backbone(recipe.backbone, recipe.pretrained, recipe.stem_stride), recipe)
    info = backbone.feature_info
    return backbone, Neck(info.channels(), recipe.channels, recipe.context)  # type: ignore[union-attr, operator]


def prepared(backbone: nn.Module, recipe: Recipe) -> nn.Module:
    """The backbone itself, with BatchNorm folded and its first layers fixed as the recipe says."""
    if recipe.fold_batchnorm:
        fold_batchnorm(backbone, torch.rand(1, 3, 64, 64))
    freeze(backbone, recipe.freeze_to_stride)
    return backbone


def weighted(recipe: Recipe, parts: dict[str, Tensor]) -> Losses:
    """The losses of their parts by name, each weighted by the recipe's key of that name."""
    total = torch.stack([getattr(recipe, name) * part for name, part in parts.items()]).sum()
    return Losses(total=total, **parts)


def normalise(image: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 BGR [B, H, W, 3] → float RGB [B, 3, H, W], (x/255 − mean)/std; mean and std [3] in RGB order."""
    x = image.to(mean.dtype).permute(0, 3, 1, 2).flip(1)
    return (x - 255.0 * mean.view(1, 3, 1, 1)) / (255.0 * std.view(1, 3, 1, 1))

"""The stacked hourglass (Newell, Yang and Deng, 2016): pooling and upsampling over and over, each time to heat maps.

As published: pre-activated bottleneck residual modules, max pooling and nearest upsampling over four octaves with a
residual module on every skip, heat maps after every stack, which are all supervised and fed into the next one,
squared error, stride 4. Not as published: what leads from the image to stride 4 is the recipe's backbone up to
there, with its ImageNet weights, lest the baseline alone learn to see from the training images; only what follows
is from scratch. Its width is the recipe's `channels`; 256 is the published one.
"""

from __future__ import annotations

from collections.abc import Sequence

import timm
import torch
import torch.nn.functional as F
from timm.models import FeatureListNet
from torch import Tensor, nn

from coke_edge.errors import CokeError
from coke_edge.train.backbone import all_features, create_backbone
from coke_edge.train.heatmap import MapRegression, last_layer
from coke_edge.train.method import prepared
from coke_edge.train.recipe import Recipe

STEM_STRIDE = 4
OCTAVES = 4


class Residual(nn.Module):
    """x + 1×1(3×3(1×1(x))), half as wide in the middle, BatchNorm and ReLU before each; a 1×1 on x if widths differ."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.body = nn.Sequential(
            nn.BatchNorm2d(width_in), nn.ReLU(), nn.Conv2d(width_in, half, 1, bias=False),
            nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, half, 3, padding=1, bias=False),
            nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, width, 1),
        )  # fmt: skip
        self.skip = nn.Identity() if width_in == width else nn.Conv2d(width_in, width, 1)

    def forward(self, x: Tensor) -> Tensor:  # [B, width_in, H, W] → [B, width, H, W]
        out: Tensor = self.skip(x) + self.body(x)
        return out


class Hourglass(nn.Module):
    """Down `octaves` times and up again, with a skip at every size."""

    def __init__(self, width: int, octaves: int) -> None:
        super().__init__()
        self.across = Residual(width, width)
        self.down = Residual(width, width)
        self.inner = Hourglass(width, octaves - 1) if octaves > 1 else Residual(width, width)
        self.up = Residual(width, width)

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W] → the same
        # Rounded up: sides that are no multiple of 2^octaves come back to their size, too.
        low = self.down(F.max_pool2d(x, 2, ceil_mode=True))
        low = self.up(self.inner(low))
        out: Tensor = self.across(x) + F.interpolate(low, size=x.shape[-2:], mode="nearest")
        return out


class Stack(nn.Module):
    """One hourglass, the maps read off it, and what the next one gets."""

    def __init__(self, width: int, maps: int, last: bool) -> None:
        super().__init__()
        self.hourglass = nn.Sequential(
            Hourglass(width, OCTAVES),
            Residual(width, width),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.read = last_layer(width, maps)
        self.last = last
        if not last:
            self.features_back = nn.Conv2d(width, width, 1)
            self.maps_back = nn.Conv2d(maps, width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, H, W] → maps [B, K, H, W], and the input of the next stack (of the last one: its own)."""
        y = self.hourglass(x)
        maps: Tensor = self.read(y)
        return maps, x if self.last else x + self.features_back(y) + self.maps_back(maps)


class Stacks(nn.Module):
    """Hourglasses one after the other; their maps side by side."""

    def __init__(self, width_in: int, width: int, maps: int, count: int) -> None:
        super().__init__()
        self.enter = Residual(width_in, width)
        self.stacks = nn.ModuleList(Stack(width, maps, last=i == count - 1) for i in range(count))

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """One map at stride 4 [B, width_in, H/4, W/4] → [B, S·K, H/4, W/4]."""
        x = self.enter(pyramid[0])
        every = []
        for stack in self.stacks:
            maps, x = stack(x)
            every.append(maps)
        return torch.cat(every, dim=1)


class HourglassModel(MapRegression):
    """The backbone's stem, and the recipe's `stacks` hourglasses to K maps each at stride 4."""

    stride = STEM_STRIDE

    def __init__(self, recipe: Recipe, keypoints: int) -> None:
        backbone = prepared(stem(recipe), recipe)
        width = backbone.feature_info.channels()[0]  # type: ignore[union-attr, operator]
        neck = Stacks(width, recipe.channels, keypoints, recipe.stacks)
        kind = "mse" if recipe.heatmap_loss == "auto" else recipe.heatmap_loss
        super().__init__(recipe, keypoints, backbone, neck, kind)

    def maps(self, features: Tensor) -> Tensor:
        """[B, S·K, H/4, W/4] → [B, S, K, H/4, W/4]."""
        b, _, h, w = features.shape
        return features.view(b, self.recipe.stacks, -1, h, w)


def stem(recipe: Recipe) -> nn.Module:
    """The recipe's backbone up to stride 4, without what follows. Raises CokeError if it has no map there."""
    if recipe.stem_stride != 2:
        raise CokeError("the hourglass begins with the backbone's own stem: leave --stem-stride at 2")
    whole = create_backbone(recipe.backbone, recipe.pretrained)
    stages = all_features(whole)
    strides = [stage["reduction"] for stage in stages]
    if STEM_STRIDE not in strides:
        raise CokeError(
            f"{recipe.backbone} has features at strides {strides}, but the hourglass begins at {STEM_STRIDE}: "
            "choose another."
        )
    index = strides.index(STEM_STRIDE)
    # timm's own feature extractors keep the later layers of some backbones; this one never does.
    part = FeatureListNet(
        timm.create_model(recipe.backbone, pretrained=False),
        out_indices=(index,),
        flatten_sequential="." in stages[index]["module"],
    )
    # Other names, the same order; strict about shapes.
    part.load_state_dict(dict(zip(part.state_dict(), whole.state_dict().values(), strict=False)))
    part.pretrained_cfg = whole.pretrained_cfg
    return part

"""Some of a model's keypoints as a model of their own: what a bundle of one category of a joint model holds.

The network and the clutter bank stay whole. A keypoint's map and its P(visible) depend on its own prototype and bias
alone, so those that are kept are found as they are among all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from coke_edge.export.banks import Banks
from coke_edge.export.crops import Crop
from coke_edge.manifest import ModelSpec
from coke_edge.selection import Indices, maps_of, narrowed


class Narrowed(NamedTuple):
    """What is exported, and what it is held against."""

    spec: ModelSpec
    banks: Banks
    crops: list[Crop]


def narrow(spec: ModelSpec, banks: Banks, crops: Sequence[Crop], chosen: Indices) -> Narrowed:
    """All of it with the `chosen` keypoints alone; labels of `crops` are of the K keypoints of `spec`."""
    kept = dataclasses.replace(banks, prototypes=banks.prototypes[maps_of(spec, chosen)])
    return Narrowed(narrowed(spec, chosen), kept, [narrow_crop(crop, chosen) for crop in crops])


def narrow_crop(crop: Crop, chosen: Indices) -> Crop:
    """The same picture, labelled with these keypoints."""
    label = crop.label
    if label is None:
        return crop
    return crop._replace(
        label=label._replace(keypoints=label.keypoints[chosen], counted=label.counted[chosen])
    )

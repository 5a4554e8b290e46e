"""What torch makes of real pictures: the measure for every exported graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from coke_edge.decode import places, visibility
from coke_edge.errors import DataError
from coke_edge.export.banks import Banks
from coke_edge.export.crops import Crop, Label
from coke_edge.kernels import torch_reference
from coke_edge.kernels.reference import Peaks
from coke_edge.keypoints import HIDDEN_BELOW
from coke_edge.manifest import ModelSpec
from coke_edge.train.model import CokeModel

BATCH_SIZE = 8

Float = NDArray[np.float64]


class Expected(NamedTuple):
    """What torch makes of B crops."""

    names: list[str]  # B
    images: NDArray[np.uint8]  # [B, height, width, 3]
    peaks: Peaks
    score: NDArray[np.float32]  # [B, R, H·W] q
    labels: Sequence[Label | None] = ()  # B, or empty if nothing is annotated


@torch.inference_mode()
def torch_results(network: CokeModel, spec: ModelSpec, banks: Banks, crops: Sequence[Crop]) -> list[Expected]:
    """The features by torch, the head by its torch twin. Raises DataError if there is no crop."""
    tensors = {name: torch.from_numpy(array) for name, array in banks.arrays().items()}
    results = []
    for batch in batches(crops):
        images = np.stack([crop.image for crop in batch])
        features = network.features(torch.from_numpy(images)).float()
        maps = torch_reference.score_maps(features, head=spec.head, **tensors)
        peaks = torch_reference.find_peaks(maps, spec.head.peaks)
        results.append(
            Expected(
                [crop.name for crop in batch],
                images,
                Peaks(*(tensor.numpy() for tensor in peaks)),
                maps.score.flatten(2).numpy(),
                [crop.label for crop in batch],
            )
        )
    if not results:
        raise DataError("there is no image to hold the export against; name some with --data or --images")
    return results


def batches(crops: Sequence[Crop]) -> list[Sequence[Crop]]:
    """The crops in groups, the last one smaller: so a wrong batch dimension shows."""
    return [crops[i : i + BATCH_SIZE] for i in range(0, len(crops), BATCH_SIZE)]


class Decoded(NamedTuple):
    """The best peaks of B crops."""

    xy: Float  # [B, R, 2] crop px, of every score map, NaN where there is no peak
    visible: Float  # [B, K] probability, NaN if the model is not calibrated

    @property
    def reported(self) -> NDArray[np.bool_]:
        """[B, R] which places matter: in the map of a hidden keypoint those alone that are judged hidden."""
        hidden = self.visible < HIDDEN_BELOW
        behind = self.xy.shape[1] > hidden.shape[1]
        return np.concatenate([np.ones_like(hidden), *([hidden] if behind else [])], axis=1)


def decoded(peaks: Peaks, spec: ModelSpec) -> Decoded:
    """Places and visibility as the decode finds them for a frame that is the crop.

    Those of a visible and of a hidden keypoint apart: a detection has one of them, which a probability near ½ decides.
    """
    count = len(spec.keypoints.names)
    return Decoded(places(peaks, spec)[:, :, 0], visibility(peaks, spec.visibility)[:, :count])

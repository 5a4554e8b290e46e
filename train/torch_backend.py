"""The reference backend: a checkpoint run by torch, for validation, evaluation and parity checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from coke_edge.geometry import Affine
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.torch_reference import match
from coke_edge.manifest import ModelSpec
from coke_edge.preprocess import crop
from coke_edge.train.model import CokeModel


class Trained(Protocol):
    """What the backend needs of a checkpoint."""

    @property
    def model(self) -> CokeModel: ...  # in evaluation mode

    @property
    def spec(self) -> ModelSpec: ...


class TorchBackend:
    """`coke_edge.backends.Backend` on the device that the model lies on.

    Crops come from the same function as everywhere; the network runs in float32, the head is the torch twin
    of the numpy definition.
    """

    name = "torch"

    def __init__(self, checkpoint: Trained) -> None:
        self.model, self.spec = checkpoint.model, checkpoint.spec

    @torch.inference_mode()
    def __call__(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Peaks:
        """The peaks of B regions of `frame` [H, W, 3] BGR, each given by its affine frame → crop."""
        images = torch.from_numpy(np.stack([crop(frame, affine, self.spec.input) for affine in crops]))
        prototypes = self.model.prototypes
        features = self.model.features(images.to(prototypes.device)).float()
        peaks = match(features, prototypes, self.model.clutter, self.spec.head)
        return Peaks(*(tensor.cpu().numpy() for tensor in peaks))

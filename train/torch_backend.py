"""The reference backend: a checkpoint run by torch, for validation, evaluation and parity checks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coke_edge.geometry import Affine
from coke_edge.kernels import torch_reference
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import ModelSpec
from coke_edge.preprocess import crop


class Scorer(Protocol):
    """What can be run: a `Method`, or anything else that finds peaks."""

    def peaks(self, image: Tensor, head: HeadSpec) -> torch_reference.Peaks: ...


class Trained(Protocol):
    """What the backend needs of a checkpoint."""

    @property
    def model(self) -> Scorer: ...  # in evaluation mode

    @property
    def spec(self) -> ModelSpec: ...


class TorchBackend:
    """`coke_edge.backends.Backend` on the device that the model lies on.

    Crops come from the same function as everywhere; the network runs in float32, peaks are found by the torch twin of
    the numpy definition.
    """

    name = "torch"

    def __init__(self, checkpoint: Trained) -> None:
        self.model, self.spec = checkpoint.model, checkpoint.spec

    def __call__(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Peaks:
        """The peaks of B regions of `frame` [H, W, 3] BGR, each given by its affine frame → crop."""
        return self._network(self._warp(frame, crops))

    def stages(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> tuple[Peaks, dict[str, float]]:
        """See `Staged`: "warp" by OpenCV, and "network", which is all that torch does."""
        start = time.perf_counter()
        images = self._warp(frame, crops)
        between = time.perf_counter()
        peaks = self._network(images)
        end = time.perf_counter()
        return peaks, {"warp": 1e3 * (between - start), "network": 1e3 * (end - between)}

    def _warp(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Tensor:
        """uint8 [B, height, width, 3] BGR, on the CPU."""
        return torch.from_numpy(np.stack([crop(frame, affine, self.spec.input) for affine in crops]))

    @torch.inference_mode()
    def _network(self, images: Tensor) -> Peaks:
        return Peaks(*(tensor.cpu().numpy() for tensor in self.model.peaks(images, self.spec.head)))

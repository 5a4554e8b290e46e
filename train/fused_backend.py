"""A checkpoint on an NVIDIA GPU without an export: our kernels before and after the network, which torch runs.

What a device's engine does, for evaluation and benchmarks where torch and Triton are. In float32 it gives what
`TorchBackend` gives on the CPU, but for crops that differ by a grey level where two ways to interpolate round
differently; in float16 and bfloat16 features are rounded on top of that.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coke_edge.errors import BackendError, CokeError
from coke_edge.geometry import Affine, invert
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.targets import KernelError
from coke_edge.kernels.torch_parts import PRECISIONS, fused_parts
from coke_edge.kernels.torch_pipeline import TorchPipeline, free_memory
from coke_edge.manifest import ModelSpec
from coke_edge.train.fold import fold_batchnorm
from coke_edge.train.model import CokeModel


class Body(nn.Module):
    """Backbone and neck of a model, for inference alone: BatchNorm folded, weights in one dtype, channels last."""

    def __init__(self, model: CokeModel, dtype: torch.dtype, device: str) -> None:
        super().__init__()
        self.dtype = dtype
        self.maps = nn.Sequential(copy.deepcopy(model.backbone), copy.deepcopy(model.neck)).cpu().float()
        whole = copy.deepcopy(self.maps)
        try:
            fold_batchnorm(self.maps, torch.rand(1, 3, 64, 64))
        except CokeError:  # it normalises where no convolution stands before: then it keeps doing so
            self.maps = whole
        self.eval().requires_grad_(False)
        self.maps.to(device, dtype).to(memory_format=torch.channels_last)

    def forward(self, crops: Tensor) -> Tensor:
        """Normalised RGB [B, 3, H, W] → features [B, C, H/8, W/8]."""
        found: Tensor = self.maps(crops.to(self.dtype, memory_format=torch.channels_last))
        return found


class FusedBackend:
    """`coke_edge.backends.Staged` for a checkpoint. Not for two threads at once."""

    def __init__(
        self, model: CokeModel, spec: ModelSpec, precision: str = "fp32", device: str = "cuda"
    ) -> None:
        """`precision` is fp32, fp16 or bf16, of weights and features. A CPU needs Triton's interpreter.

        Raises BackendError for a head that the kernels do not take.
        """
        self._device, self._free_before = torch.device(device), free_memory(device)
        self.spec, self.precision = spec, precision
        self.name = f"torch on {device}, {precision}"
        dtype, size = PRECISIONS[precision], self.spec.input
        with told():
            parts = fused_parts(
                Body(model, dtype, device),
                model.all_prototypes,
                model.clutter,
                self.spec.head,
                width=size.width,
                height=size.height,
                border=size.border,
                mean=size.mean,
                std=size.std,
                crops=torch.float16 if dtype == torch.float16 else torch.float32,
                dtype=dtype,
                device=device,
            )
            self._pipeline = TorchPipeline(parts, device)

    def __call__(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Peaks:
        """See `Backend`."""
        with told():
            return self._pipeline(frame, [invert(affine) for affine in crops])

    def stages(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> tuple[Peaks, dict[str, float]]:
        """See `Staged`: "upload", "warp", "backbone", "head" and "download"."""
        with told():
            return self._pipeline.stages(frame, [invert(affine) for affine in crops])

    def gpu_bytes(self) -> int:
        """By how many bytes the GPU's free memory has shrunk since this was made, CUDA's own context apart.

        Whatever this process took, and what others took or gave back meanwhile.
        """
        return self._free_before - free_memory(self._device)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """A KernelError, which comes from below, as the error of a backend."""
    try:
        yield
    except KernelError as error:
        raise BackendError(str(error)) from error

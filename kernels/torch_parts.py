"""The parts of a `TorchPipeline` by our kernels: crops in the network's dtype, peaks by the fused head."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from . import fused, fused_warp
from .gpu_warp import colours
from .packed import RULES
from .spec import HeadSpec
from .torch_pipeline import Parts

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def fused_parts(
    backbone: Callable[[Tensor], Tensor],  # crops → features [B, C, h, w], in `dtype`, on `device`
    prototypes: Tensor,  # [K, C], unit rows
    clutter: Tensor,  # [N, C], unit rows; N may be 0
    head: HeadSpec,
    *,
    counts: Tensor | None = None,  # [N], how many vectors each row of the clutter stands for; 1 each if None
    width: int,  # of a crop, in pixels
    height: int,
    border: Sequence[float],  # BGR, 0 … 255, fills crops outside the frame
    crops: torch.dtype,  # uint8: [B, height, width, 3] BGR; float: [B, 3, height, width] RGB, normalised by …
    mean: Sequence[float] = (0, 0, 0),  # … these, RGB, of pixels / 255
    std: Sequence[float] = (1, 1, 1),
    dtype: torch.dtype = torch.float32,  # of the features and the banks
    device: str | torch.device = "cuda",
) -> Parts:
    """Crops, features and peaks as the kernels make them; the banks are put on the device once.

    Raises KernelError, when it runs, for what the kernels do not take.
    """
    table = torch.from_numpy(colours(border, mean, std)).to(device)
    banks = [bank.detach().to(device, dtype).contiguous() for bank in (prototypes, clutter)]
    weights = torch.ones(len(clutter), device=device) if counts is None else counts.to(device, torch.float32)
    numbers = RULES.index(head.rule), head.temperature, head.clutter_weight, head.peaks

    def warp(frame: Tensor, affines: Tensor) -> Tensor:
        found: Tensor = fused_warp.warp(frame, affines, table, width, height, crops)
        return found

    def peaks(features: Tensor) -> Tensor:
        packed: Tensor = fused.packed_peaks(features, *banks, weights, *numbers, True)
        return packed

    return Parts(warp, backbone, peaks)

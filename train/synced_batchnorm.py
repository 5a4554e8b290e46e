"""BatchNorm over the whole batch, though each process has a part of it.

On a GPU it is torch's own SyncBatchNorm. That refuses a CPU, where `CpuSyncBatchNorm` does the same in plain
operations; it is there so that a run on several CPU processes is the same run, too, and not for speed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn


class SumOverProcesses(torch.autograd.Function):
    """Σ over processes, with the gradients of all of them."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        value = value.clone()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        value = gradient[0].clone()
        dist.all_reduce(value)
        return value


class CpuSyncBatchNorm(nn.BatchNorm2d):
    """A BatchNorm2d's own tensors; in training its mean and variance are those of all processes together.

    What timm's BatchNorm does after normalising (`drop`, `act`) follows here as well.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        for name, child in norm.named_children():
            self.add_module(name, child)
        self.training = norm.training

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W] → the same
        y = self.normalised(x) if self.training else super().forward(x)
        for module in self.children():
            y = module(y)
        return y

    def normalised(self, x: Tensor) -> Tensor:
        """(x − mean)/√(var + ε)·γ + β over all processes; the running statistics take them in."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        wide = x.float()
        count = dist.get_world_size() * x.numel() / x.shape[1]  # every process has as many images
        mean = sum_over_processes(wide.sum((0, 2, 3))) / count
        # The variance about the common mean: E[x²] − E[x]² would cancel.
        var = sum_over_processes((wide - mean[:, None, None]).square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (count / (count - 1)), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(var + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift[:, None, None], wide, scale[:, None, None]).to(x.dtype)


def sum_over_processes(value: Tensor) -> Tensor:
    """Σ over processes, differentiable."""
    total: Tensor = SumOverProcesses.apply(value)
    return total


def synchronise_batchnorm(model: nn.Module, device: torch.device) -> None:
    """Let every BatchNorm of `model` see the whole batch, in place; parameters, buffers and their names stay."""
    if device.type != "cpu":
        convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            model.set_submodule(name, CpuSyncBatchNorm(module))

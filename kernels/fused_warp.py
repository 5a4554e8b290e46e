"""Crop and normalise on an NVIDIA GPU from torch: `warp` compiled at first use, as a custom operator."""

# mypy: disable-error-code="no-untyped-call, untyped-decorator"

from __future__ import annotations

import torch
from torch import Tensor
from triton import knobs

from . import plan
from .targets import KernelError
from .warp import warp as warp_kernel

CROPS = 65_535  # programs along the last axis of a grid
DTYPES = (torch.float16, torch.float32, torch.uint8)


@torch.library.custom_op("coke_edge::warp", mutates_args=())
def warp(
    frame: Tensor,  # uint8 [H, W, 3] BGR; rows may be any distance apart
    affines: Tensor,  # float32 [B, 2, 3], crop pixel to frame pixel, finite
    colours: Tensor,  # float32 [3, 3]: border colour (0 … 255), scale, shift (unused for uint8); columns RGB
    width: int,  # of a crop
    height: int,
    dtype: torch.dtype = torch.float16,  # or float32, uint8
) -> Tensor:
    """Crops of one frame, as `warp.py` defines them: [B, 3, height, width] RGB, or uint8 [B, height, width, 3] BGR.

    Raises KernelError for shapes, dtypes or devices that the kernel does not take.
    """
    check(frame, affines, colours, width, height, dtype)
    if frame.stride()[1:] != (3, 1):
        frame = frame.contiguous()
    crops = affines.new_empty(shape(len(affines), width, height, dtype), dtype=dtype)
    warp_kernel[(-(-width * height // plan.WARP_PIXELS), len(affines))](
        frame, affines.contiguous(), colours.contiguous(), crops,
        frame.shape[0], frame.shape[1], frame.stride(0), height, width,
        BLOCK=plan.WARP_PIXELS, num_warps=plan.WARP_WARPS, num_stages=1,
    )  # fmt: skip
    return crops


@warp.register_fake
def _(
    frame: Tensor,
    affines: Tensor,
    colours: Tensor,
    width: int,
    height: int,
    dtype: torch.dtype = torch.float16,
) -> Tensor:
    return affines.new_empty(shape(len(affines), width, height, dtype), dtype=dtype)


def shape(crops: int, width: int, height: int, dtype: torch.dtype) -> tuple[int, ...]:
    """Of the result."""
    return (crops, height, width, 3) if dtype == torch.uint8 else (crops, 3, height, width)


def check(
    frame: Tensor, affines: Tensor, colours: Tensor, width: int, height: int, dtype: torch.dtype
) -> None:
    """Raise KernelError, naming what is wrong, unless the kernel takes these inputs."""
    if not frame.is_cuda and not knobs.runtime.interpret:
        raise KernelError(f"the kernels need a frame on an NVIDIA GPU, not on {frame.device}")
    if frame.dtype != torch.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise KernelError(f"the frame must be uint8 [H, W, 3], not {frame.dtype} {tuple(frame.shape)}")
    shapes = [tuple(affines.shape[1:]), tuple(colours.shape)]
    if shapes != [(2, 3), (3, 3)] or {affines.dtype, colours.dtype} != {torch.float32}:
        raise KernelError(f"affines and colours must be float32 [B, 2, 3] and [3, 3], not [B, …] of {shapes}")
    if not 1 <= len(affines) <= CROPS:
        raise KernelError(f"a launch takes 1 to {CROPS:,} crops, not {len(affines):,}")
    if min(width, height) < 1 or width * height >= 2**31:
        raise KernelError(f"a crop of {width} × {height} pixels cannot be made")
    if dtype not in DTYPES:
        raise KernelError(f"crops are float16, float32 or uint8, not {dtype}")
    if {affines.device, colours.device} != {frame.device}:
        raise KernelError(f"affines and colours must be on the device of the frame, {frame.device}")

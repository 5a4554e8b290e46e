"""The crop kernel against bilinear interpolation in float64, and against OpenCV where it rounds alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coke_edge.benchmarks.gpu_check.matching import poisoned_memory
from coke_edge.benchmarks.gpu_check.rows import Options, Row, broken, checked
from coke_edge.kernels import fused_warp
from coke_edge.kernels.gpu_warp import colours

BORDER = (10, 130, 250)  # BGR
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DTYPES = {"fp16": torch.float16, "fp32": torch.float32}
FRAMES = ((480, 640), (1, 1), (1080, 1920), (61, 83))  # H, W
CROPS = ((256, 256), (192, 256), (33, 51), (1, 1))  # h, w
SMALL_FRAMES, SMALL_CROPS = ((61, 83), (1, 1)), ((16, 24),)
LEVEL = {"fp16": 1.2, "fp32": 1.01, "u8": 1.01}  # grey levels apart at most; a float16 crop rounds once more
DIFFERENT = 0.02  # the largest share of pixels that may be a level apart


def rows(options: Options) -> Iterator[Row]:
    """Every frame × crop × dtype, with affines that turn, shrink, mirror and leave the frame."""
    small = options.small
    for height, width in SMALL_FRAMES if small else FRAMES:
        for size in SMALL_CROPS if small else CROPS:
            for dtype in DTYPES:
                name = f"{height}×{width} to {size[0]}×{size[1]} {dtype}"
                try:
                    yield one(name, (height, width), size, dtype, options.torch_device)
                except Exception as error:
                    yield broken(name, error)


def one(name: str, frame_size: tuple[int, int], size: tuple[int, int], dtype: str, device: str) -> Row:
    """A frame with a pitch, a crop for each affine."""
    rng = np.random.default_rng([*frame_size, *size])
    larger = rng.integers(0, 256, (frame_size[0], frame_size[1] + 7, 3), np.uint8)
    frame, affines = larger[:, 3 : 3 + frame_size[1]], crop_to_frame(frame_size, size)
    found = kernel(torch.from_numpy(larger).to(device)[:, 3 : 3 + frame_size[1]], affines, size, dtype)
    return judged(name, levels(found), frame, affines, size, dtype)


def judged(
    name: str,
    found: NDArray[np.float64],  # grey levels [B, 3, h, w]
    frame: NDArray[np.uint8],
    affines: NDArray[np.float32],
    size: tuple[int, int],
    dtype: str,
) -> Row:
    """Grey levels against the definition."""
    apart = np.nan_to_num(np.abs(found - definition(frame, affines, size)), nan=np.inf)
    different = float((apart > 0.5).mean())
    good = bool(apart.max() <= LEVEL[dtype]) and different <= DIFFERENT
    return checked(name, good, error=float(apart.max()), different=different)


def crop_to_frame(frame: tuple[int, int], crop: tuple[int, int]) -> NDArray[np.float32]:
    """Affines float32 [B, 2, 3], crop pixel to frame pixel."""
    (height, width), (h, w) = frame, crop
    scale = max(height / h, width / w)
    found = [
        [[1, 0, 0], [0, 1, 0]],
        [[scale, 0, 0], [0, scale, 0]],
        [[-scale, 0, width - 1], [0, scale, 0.5]],
    ]
    for angle, zoom in ((0.6, 0.3), (-2.1, 1.7)):
        a, b = zoom * scale * np.cos(angle), zoom * scale * np.sin(angle)
        found.append([[a, -b, width / 2 - a * w / 2 + b * h / 2], [b, a, height / 2 - b * w / 2 - a * h / 2]])
    found.append([[1, 0, 1e7], [0, 1, -1e7]])
    return np.asarray(found, np.float32)


def kernel(
    frame: Tensor, affines: NDArray[np.float32], size: tuple[int, int], dtype: str
) -> NDArray[np.float64]:
    """Normalised crops [B, 3, h, w] of a frame on the device; NaN where nothing was written."""
    table = torch.from_numpy(colours(BORDER, MEAN, STD)).to(frame.device)
    given = torch.from_numpy(affines).to(frame.device)
    with poisoned_memory():
        crops = fused_warp.warp(frame, given, table, size[1], size[0], DTYPES[dtype])
    return np.asarray(crops.double().cpu())


def levels(crops: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grey levels of normalised crops."""
    mean, std = (np.reshape(values, (3, 1, 1)) for values in (MEAN, STD))
    return np.asarray(255 * (crops * std + mean))


def definition(
    frame: NDArray[np.uint8], affines: NDArray[np.float32], size: tuple[int, int]
) -> NDArray[np.float64]:
    """Grey levels [B, 3, h, w] RGB: bilinear in float64, the border colour outside, rounded to whole levels."""
    height, width = frame.shape[:2]
    padded = np.empty((height + 4, width + 4, 3))
    padded[:] = BORDER
    padded[2:-2, 2:-2] = frame
    j, i = np.mgrid[: size[0], : size[1]]
    x, y = np.einsum("bac,chw->abhw", affines.astype(np.float64), np.stack([i, j, np.ones_like(i)]))
    x, y = np.clip(x, -2, width + 0.999), np.clip(y, -2, height + 0.999)  # beyond lies only border
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right_share, lower_share = (x - left)[..., None], (y - top)[..., None]

    def at(dy: int, dx: int) -> NDArray[np.float64]:
        return np.asarray(padded[top + 2 + dy, left + 2 + dx])

    upper = (1 - right_share) * at(0, 0) + right_share * at(0, 1)
    lower = (1 - right_share) * at(1, 0) + right_share * at(1, 1)
    grey = np.rint((1 - lower_share) * upper + lower_share * lower)
    return np.asarray(grey[..., ::-1].transpose(0, 3, 1, 2))

"""The head written in the ways that it is usually written, for torch, to time the fused kernels against.

Each form takes float16 features and banks and gives what a decoder needs: for the M best local maxima of every
keypoint their cell, s, c and the 3×3 neighbourhood of q. Nothing here is written to be slow: banks are joined or
cast outside what is timed, norms are taken as torch is fastest at, and torch.compile gets its autotuning.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from coke_edge.benchmarks.sizes import CLUTTER_WEIGHT, TEMPERATURE, Size
from coke_edge.benchmarks.timing import Call

Found = tuple[Tensor, ...]  # index, s, c at the peaks [B, K, M]; q around them [B, K, M, 9]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """One set of inputs of a size, on the device."""

    size: Size
    features: Tensor  # [B, C, H, W], in the memory layout of the size
    prototypes: Tensor  # [K, C], unit rows
    clutter: Tensor  # [N, C], unit rows
    counts: Tensor  # float32 [N], ones


def random_inputs(size: Size, device: str, dtype: torch.dtype = torch.float16, seed: int = 0) -> Inputs:
    """Normal features and unit rows: never zeros, on which a GPU is faster than on data."""
    generator = torch.Generator(device).manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device)

    features = normal(size.batch, size.channels, size.height, size.width).to(dtype)
    if size.layout == "nhwc":
        features = features.contiguous(memory_format=torch.channels_last)
    prototypes, clutter = (
        F.normalize(normal(rows, size.channels), dim=1).to(dtype) for rows in (size.keypoints, size.rows)
    )
    return Inputs(size, features, prototypes, clutter, torch.ones(size.rows, device=device))


def plain_maps(
    features: Tensor, prototypes: Tensor, clutter: Tensor, soft: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """q, s [B, K, P] and c [B, P], all in the dtype of the features: the formulas, as one writes them down."""
    cells = features.flatten(2)
    cells = cells / cells.norm(dim=1, keepdim=True)
    similarity = prototypes @ cells
    if len(clutter) == 0:
        hard = torch.full_like(cells[:, 0], -1)
        return similarity - hard[:, None], similarity, hard
    products = clutter @ cells
    hard = products.amax(1)
    if not soft:
        return similarity - hard[:, None], similarity, hard
    return similarity - soft_response(products, hard)[:, None], similarity, hard


def soft_response(products: Tensor, hard: Tensor) -> Tensor:
    """ĉ [B, P] from products [B, N, P] and their maxima [B, P]."""
    total = ((products - hard[:, None]) / TEMPERATURE).exp().sum(1, dtype=torch.float32)
    return (hard + TEMPERATURE * (CLUTTER_WEIGHT * total).log()).to(products.dtype)


def plain(features: Tensor, prototypes: Tensor, clutter: Tensor, soft: bool, peaks: int) -> Found:
    """The head in torch, both banks multiplied with unit cells."""
    score, similarity, hard = plain_maps(features, prototypes, clutter, soft)
    return best(score, similarity, hard, features.shape[2], features.shape[3], peaks)


def joined(features: Tensor, banks: Tensor, keypoints: int, soft: bool, peaks: int) -> Found:
    """One matrix product of raw cells with both banks, the maximum, and only then the norms."""
    cells = features.flatten(2)
    inverse = 1 / torch.linalg.vector_norm(cells, dim=1)
    products = banks @ cells
    similarity = products[:, :keypoints] * inverse[:, None]
    clutter = products[:, keypoints:]
    if clutter.shape[1] == 0:
        subtracted = hard = torch.full_like(inverse, -1)
    else:
        subtracted = hard = clutter.amax(1) * inverse
        if soft:
            subtracted = soft_response(clutter * inverse[:, None], hard)
    score = similarity - subtracted[:, None]
    return best(score, similarity, hard, features.shape[2], features.shape[3], peaks)


def best(score: Tensor, similarity: Tensor, hard: Tensor, height: int, width: int, peaks: int) -> Found:
    """From maps [B, K, P], [B, K, P], [B, P] to the peaks. Of equal cells any may win."""
    maps = score.unflatten(2, (height, width))
    if peaks == 1:
        index = score.argmax(2, keepdim=True)
    else:
        largest = F.max_pool2d(maps, 3, 1, 1) == maps
        index = maps.masked_fill(~largest, -torch.inf).flatten(2).topk(peaks, dim=2).indices
    padded = F.pad(maps, (1, 1, 1, 1), value=-torch.inf).flatten(2)
    corner = index + 2 * (index // width)  # upper left of the 3×3, in the padded map
    step = torch.arange(9, device=score.device)
    places = corner[..., None] + (step // 3) * (width + 2) + step % 3
    around = padded.gather(2, places.flatten(2)).unflatten(2, (peaks, 9))
    clutter = hard[:, None].expand_as(similarity).gather(2, index)
    return index, similarity.gather(2, index), clutter, around


Form = Callable[[Inputs], Call]  # everything that need not be timed is done before the call is returned


def eager(inputs: Inputs) -> Call:
    size = inputs.size
    return lambda: plain(inputs.features, inputs.prototypes, inputs.clutter, size.soft, size.peaks)


def matmul_and_max(inputs: Inputs) -> Call:
    banks, size = torch.cat([inputs.prototypes, inputs.clutter]), inputs.size
    return lambda: joined(inputs.features, banks, size.keypoints, size.soft, size.peaks)


def compiled(backend: str = "inductor") -> Form:
    """torch.compile with its longest autotuning; the graph around it is the benchmark's, as for all forms.

    The mode "max-autotune" would capture the same kernels in a graph of its own, behind a copy of the inputs.
    """
    mode = "max-autotune-no-cudagraphs" if backend == "inductor" else None
    function = torch.compile(plain, backend=backend, mode=mode, fullgraph=True, dynamic=False)

    def form(inputs: Inputs) -> Call:
        size = inputs.size
        return lambda: function(inputs.features, inputs.prototypes, inputs.clutter, size.soft, size.peaks)

    return form

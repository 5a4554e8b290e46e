"""The head's maps in float64 for inputs of any size, on the device of the inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from coke_edge.kernels import reference, torch_reference
from coke_edge.kernels.spec import HeadSpec
from coke_edge.kernels.torch_reference import ScoreMaps

PRODUCTS = 1 << 27  # float64 products of cells with rows of the banks held at a time: 1 GiB
NUMPY_PRODUCTS = 30_000_000  # multiplications up to which numpy's definition itself is asked


def exact_maps(
    features: Tensor, prototypes: Tensor, clutter: Tensor, counts: Tensor, head: HeadSpec
) -> ScoreMaps:
    """All maps in float64: by numpy's definition where that is quick, else by its torch twin on the device.

    The twin takes so many cells at a time that their products fit in memory.
    """
    b, c, h, w = features.shape
    rows = len(prototypes) + len(clutter)
    theta, beta, m = (t.double() for t in (prototypes, clutter, counts))
    if b * h * w * rows * c <= NUMPY_PRODUCTS:
        x, *banks, weights = (t.cpu().numpy() for t in (features.double(), theta, beta, m))
        found = reference.score_maps(x, banks[0], banks[1], head, weights)
        return ScoreMaps(*(torch.from_numpy(quantity).to(features.device) for quantity in found))
    cells = features.flatten(2)[..., None]
    step = max(1, PRODUCTS // (b * max(1, rows)))
    parts = [
        torch_reference.score_maps(cells[:, :, at : at + step].double(), theta, beta, head, m)
        for at in range(0, h * w, step)
    ]
    joined = (torch.cat(quantity, dim=-2).flatten(-2) for quantity in zip(*parts, strict=True))
    return ScoreMaps(*(quantity.reshape(*quantity.shape[:-1], h, w) for quantity in joined))

"""Sums and rows over the processes that train together; in one process each of them is what went in.

All are torch.distributed's own collectives on its default group, which `processes.py` has Fabric set up. Every
process has to call them equally often and in the same order.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def process_count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@torch.no_grad()
def total(value: Tensor) -> Tensor:
    """Σ over the processes of a tensor that has the same shape in all of them; without gradient."""
    if process_count() == 1:
        return value
    value = value.clone()
    dist.all_reduce(value)
    return value


@torch.no_grad()
def gather_rows(rows: Tensor) -> Tensor:
    """The rows [n, …] of every process as [Σn, …], in the order of ranks; n may differ. Without gradient.

    A rank's images are a contiguous part of the batch (`crops.EpochSampler`), so rows that are in the order of images
    come out in the order in which a single process would have them.
    """
    if process_count() == 1:
        return rows
    own = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(own) for _ in range(process_count())]
    dist.all_gather(counts, own)
    lengths = [int(count) for count in counts]
    padded = rows.new_zeros(max(lengths), *rows.shape[1:])  # a gather takes equal shapes alone
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

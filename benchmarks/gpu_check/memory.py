"""GPU memory that one piece of work takes, whatever else in this process holds some."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import torch

MEANING = (
    "gpu_bytes is the most that torch's allocator gave out for the row's own network, banks, staging and results, and "
    "for recording its graphs; kernels, libraries and CUDA's context are not in it"
)


class Taken:
    """From its making to `most`, by the statistics of torch's allocator; nothing else may ask for memory meanwhile."""

    def __init__(self, device: str) -> None:
        """Begins a peak of its own."""
        self._cuda = torch.device(device).type == "cuda"
        self._before = 0
        if self._cuda:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            self._before = int(torch.cuda.memory_allocated())

    def most(self) -> int | None:
        """Bytes at the highest moment beyond those of the beginning; None on a CPU."""
        if not self._cuda:
            return None
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated()) - self._before


def give_back() -> None:
    """What nobody holds any more, to others: after a row that broke for want of memory. Never raises."""
    if torch.cuda.is_initialized():
        try:
            torch.cuda.empty_cache()
        except RuntimeError:  # the GPU is lost to this process: whoever comes next will say so
            return

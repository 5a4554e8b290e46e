"""What the check ran on: the machine, the GPU as it was found, versions, and which kernels."""

from __future__ import annotations

from collections.abc import Iterator

from coke_edge.benchmarks import environment
from coke_edge.benchmarks.gpu_check.rows import MEASURED, Options, Row, row
from coke_edge.benchmarks.gpu_check.sanitizer import find_tool

GPU = "gpu"  # the row that says whether there is one


def rows(options: Options) -> Iterator[Row]:
    """The row `gpu` is empty where torch sees none."""
    yield row(GPU, MEASURED, found={} if options.small else environment.torch_gpu())
    yield row("host", MEASURED, **environment.host())
    yield row("versions", MEASURED, **environment.versions())
    yield row("nvidia-smi", MEASURED, found=environment.nvidia_smi())
    yield row("kernels", MEASURED, sha256=environment.fingerprint())
    yield row("compute-sanitizer", MEASURED, found=find_tool() is not None)

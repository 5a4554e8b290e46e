"""The head's kernels for the GPUs that a bundle is made for, as entries of the bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from coke_edge.bundle import KERNELS
from coke_edge.errors import ExportError
from coke_edge.kernels.artifact import MANIFEST
from coke_edge.kernels.targets import KernelError, named
from coke_edge.kernels.variants import variants


def kernel_entries(
    targets: Sequence[str], channels: int, precisions: Collection[str], plugin: bool = False
) -> dict[str, bytes]:
    """Compile the kernels for the named GPUs (`kernels.targets`); nothing if none is named.

    `precisions` are those of the bundle's graphs: all but the fp32 graph give the head fp16 features. With `plugin`
    also the form that TensorRT takes into an engine. Raises ExportError if they cannot be compiled.
    """
    if not targets:
        return {}
    from coke_edge.kernels import aot

    dtypes = dict.fromkeys("fp32" if precision == "fp32" else "fp16" for precision in precisions)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "kernels"
            artifact = aot.build(targets, folder, channels, list(dtypes), plugin=plugin)
            names = [MANIFEST, *(binary.file for binary in artifact.binaries)]
            return {f"{KERNELS}{name}": (folder / name).read_bytes() for name in names}
    except KernelError as error:
        raise ExportError(f"{error}") from error
    except OSError as error:
        raise ExportError(
            f"the kernels cannot be compiled in {tempfile.gettempdir()}: {error.strerror}"
        ) from error


def check_targets(targets: Sequence[str], channels: int) -> None:
    """Raises ExportError for what `kernel_entries` would refuse: better now than after minutes of work."""
    try:
        for target in targets:
            variants(named(target), channels)
    except KernelError as error:
        raise ExportError(f"{error}") from error

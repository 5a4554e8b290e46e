"""What runs the network and the head: one module for each, found by name and imported when it is asked for.

A backend's module is named after it and has `load(bundle, threads, precision) -> Backend`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import BackendError
from coke_edge.geometry import Affine
from coke_edge.kernels.reference import Peaks

if TYPE_CHECKING:
    from coke_edge.bundle import Bundle

AUTO = "auto"
BACKENDS = ("onnxruntime", "tensorrt")


class Backend(Protocol):
    """Regions of one frame in, peaks out."""

    name: str

    def __call__(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> Peaks:
        """Peaks of B ≥ 1 regions of a frame [H, W, 3] BGR, each given by its affine [2, 3] to the crop."""
        ...


@runtime_checkable
class Staged(Backend, Protocol):
    """A backend that can tell how long its parts take."""

    def stages(self, frame: NDArray[np.uint8], crops: Sequence[Affine]) -> tuple[Peaks, dict[str, float]]:
        """What `__call__` gives, by the same work in the same order, and the milliseconds of its parts.

        Parts are "warp", "upload", "network" (or "backbone" and "head" where each has a time of its own) and
        "download", those that there are. They do not overlap, and what is between them belongs to none. Timing them
        must cost far less than they take: latencies are measured on these very calls.
        """
        ...


def open_backend(bundle: Bundle, name: str = AUTO, threads: int = 0, precision: str = AUTO) -> Backend:
    """The backend called `name`, with the model of `bundle` loaded; `threads` 0 leaves their number to it.

    `precision` is auto, fp32, fp16, int8 or fp8; what "auto" means is the backend's to say, in its `load`.
    "auto" is `automatic`'s choice. A backend that cannot be used is an error: there is no silent change to another.
    Raises BackendError if there is none of that name, it is not installed, or it refuses the model.
    """
    if name not in (AUTO, *BACKENDS):
        raise BackendError(f"there is no backend {name!r}; choose from {', '.join((AUTO, *BACKENDS))}")
    if threads < 0:
        raise BackendError(f"the number of threads must be 0 (automatic) or more, not {threads}")
    module = importlib.import_module(f"coke_edge.backends.{automatic(bundle) if name == AUTO else name}")
    return cast(Backend, module.load(bundle, threads, precision))


def automatic(bundle: Bundle) -> str:
    """What "auto" means: tensorrt for a bundle that an engine was built of (`coke-edge build`), else onnxruntime."""
    from coke_edge.engine import cache

    return "tensorrt" if cache.sidecars_of(bundle.sha256) else "onnxruntime"

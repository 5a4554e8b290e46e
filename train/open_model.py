"""Any kind of model file as a detector."""

from __future__ import annotations

from coke_edge.bundle import names_bundle
from coke_edge.detector import Detector
from coke_edge.errors import BackendError
from coke_edge.train.cpu import prepare_cpu


def open_model(
    path: str, backend: str = "auto", precision: str = "auto", accelerator: str = "auto"
) -> Detector:
    """A detector for a bundle (NAME.coke or `demo`) or a checkpoint (FILE.safetensors or a run folder).

    `backend` is auto, torch (checkpoints only) or a runtime backend; `precision` is that of a bundle's graph, or what a
    checkpoint's weights are rounded to; `accelerator` (auto, cpu, cuda) is where torch runs a checkpoint.

    Raises BundleError for a broken file and BackendError for a backend that cannot run it.
    """
    if names_bundle(path):
        if backend == "torch":
            raise BackendError(
                f"{path} is a bundle, which torch does not run: give its checkpoint, or another --backend"
            )
        if accelerator != "auto":
            raise BackendError(
                f"{path} is a bundle, whose backend is its accelerator: leave --accelerator out, and take --backend "
                "tensorrt for a GPU"
            )
        return Detector(path, backend, precision=precision)
    if backend not in ("auto", "torch"):
        raise BackendError(
            f"{path} is a checkpoint, which only torch runs: export it to a bundle first to use {backend}"
        )
    prepare_cpu()
    from coke_edge.train.accelerator import chosen, open_backend
    from coke_edge.train.checkpoint import load_checkpoint

    how = chosen(precision, accelerator)
    checkpoint = load_checkpoint(path)
    return Detector.from_backend(checkpoint.spec, open_backend(checkpoint, *how))

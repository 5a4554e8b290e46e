"""Where torch runs a checkpoint: on the CPU, or on an NVIDIA GPU with our kernels where they serve its method."""

from __future__ import annotations

import importlib.util

import torch

from coke_edge.backends import Backend
from coke_edge.errors import BackendError
from coke_edge.manifest import ModelSpec
from coke_edge.train.checkpoint import Checkpoint
from coke_edge.train.model import CokeModel
from coke_edge.train.torch_backend import TorchBackend

AUTO, CPU, CUDA = "auto", "cpu", "cuda"
ACCELERATORS = (AUTO, CPU, CUDA)
EXACT = "fp32"
PRECISIONS = {CPU: (EXACT,), CUDA: (EXACT, "fp16", "bf16")}


def resolve(accelerator: str = AUTO) -> str:
    """cpu or cuda; "auto" is cuda where torch sees an NVIDIA GPU. Raises BackendError for what is not here."""
    if accelerator not in ACCELERATORS:
        raise BackendError(f"--accelerator is one of {', '.join(ACCELERATORS)}, not {accelerator!r}")
    here = torch.cuda.is_available()
    if accelerator == CUDA and not here:
        raise BackendError("torch sees no NVIDIA GPU here: take --accelerator cpu, or a machine that has one")
    return CUDA if here and accelerator != CPU else CPU


def precisions(accelerator: str = AUTO) -> tuple[str, ...]:
    """Those that a checkpoint can be run in here, the exact one first. Raises BackendError as `resolve` does."""
    return PRECISIONS[resolve(accelerator)]


def chosen(precision: str = AUTO, accelerator: str = AUTO) -> tuple[str, str]:
    """Precision and device; "auto" is fp32, whatever the device.

    Raises BackendError for a GPU that is not here, or a precision that is not to be had.
    """
    device = resolve(accelerator)
    precision = EXACT if precision == AUTO else precision
    if precision not in PRECISIONS[device]:
        known, place = ", ".join(PRECISIONS[device]), "GPU" if device == CUDA else "CPU"
        raise BackendError(
            f"a checkpoint runs in {known} on the {place}, not in {precision}: export it with `--precision "
            f"{precision}` first"
        )
    return precision, device


def open_backend(checkpoint: Checkpoint, precision: str, device: str) -> Backend:
    """The backend for a checkpoint, in what `chosen` gave. Raises BackendError if the method or torch cannot do it."""
    if device == CPU:
        return TorchBackend(checkpoint)
    if isinstance(checkpoint.model, CokeModel):
        return fused(checkpoint.model, checkpoint.spec, precision)
    if precision != EXACT:
        raise BackendError(f"the kernels serve the method coke alone: run this checkpoint in {EXACT}")
    checkpoint.model.to(device)
    return TorchBackend(checkpoint)


def fused(model: CokeModel, spec: ModelSpec, precision: str) -> Backend:
    """The GPU's. Raises BackendError without Triton."""
    if importlib.util.find_spec("triton") is None:
        raise BackendError(
            "the kernels need Triton, which this torch came without: install a torch that is built for CUDA, "
            "or take --accelerator cpu"
        )
    from coke_edge.train.fused_backend import FusedBackend

    return FusedBackend(model, spec, precision)

"""A network that starts from the weights of a trained one: the same, or the same with a wider stem."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from coke_edge.errors import CokeError
from coke_edge.train.backbone import widened
from coke_edge.train.checkpoint import read_checkpoint

QUIET = (
    0.2  # weight of a new level of the neck; at 0 its ReLUs would pass no gradient and it would never learn
)
LEVELS = ("neck.lateral.", "neck.context.")


def warm_start(model: nn.Module, path: str | Path) -> None:
    """Load into `model` what a checkpoint (a file, or a run folder) holds, in place.

    A model with the stem widened takes its kernels as `widen_stem` does, and the levels of its neck from the coarsest
    on; the finest, which is new, begins with little weight. So it starts near the trained network at half the size.

    Raises CokeError if there is no such checkpoint or its tensors do not fit.
    """
    file = Path(path)
    tensors, _ = read_checkpoint(file / "best.safetensors" if file.is_dir() else file)
    own = model.state_dict()
    source = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    new_levels = depth(own) - depth(source)
    source = {moved(name, new_levels): tensor for name, tensor in source.items()}
    fitted = {name: fit(tensor, own[name]) for name, tensor in source.items() if name in own}
    left = [name for name in own if name not in fitted and level(name) not in range(new_levels)]
    if len(fitted) < len(source) or left or any(t.shape != own[name].shape for name, t in fitted.items()):
        raise CokeError(
            f"The weights in {file} do not fit this recipe: start from a model with the same keys of the model part "
            "(stem_stride may be wider) and as many keypoints."
        )
    model.load_state_dict(fitted, strict=False)
    hush(model, new_levels)


def depth(tensors: dict[str, Tensor]) -> int:
    """How many levels the neck has whose tensors these are."""
    return 1 + max((level(name) for name in tensors), default=-1)


def level(name: str) -> int:
    """The level of the neck that a tensor belongs to, from fine to coarse; −1 for all other tensors."""
    return int(name.split(".")[2]) if name.startswith(LEVELS) else -1


def moved(name: str, levels: int) -> str:
    """The name of a tensor where so many levels have been put before those of the neck."""
    parts = name.split(".")
    if level(name) >= 0:
        parts[2] = str(level(name) + levels)
    return ".".join(parts)


def fit(tensor: Tensor, own: Tensor) -> Tensor:
    """The tensor itself, or a stem's kernels doubled where the model's own are twice as large."""
    if tensor.ndim == 4 and own.shape == (*tensor.shape[:2], 2 * tensor.shape[2], 2 * tensor.shape[3]):
        return widened(tensor)
    return tensor


@torch.no_grad()
def hush(model: nn.Module, levels: int) -> None:
    """Give the BatchNorms whose outputs add to the neck's finest `levels` levels the weight QUIET."""
    neck = model.neck
    for lateral, context in list(zip(neck.lateral, neck.context, strict=True))[:levels]:  # type: ignore[union-attr, arg-type]
        lateral[1].weight.fill_(QUIET)
        for block in context:
            block.norm2.weight.fill_(QUIET)

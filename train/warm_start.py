"""A network that starts from the weights of a trained one: of the same keypoints or others, also with a wider stem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from coke_edge.errors import CokeError
from coke_edge.train.backbone import widened
from coke_edge.train.method import Method
from coke_edge.train.trained_weights import weights_of
from coke_edge.train.unfold import unfold_batchnorm

QUIET = (
    0.2  # weight of a new level of the neck; at 0 its ReLUs would pass no gradient and it would never learn
)
LEVELS = ("neck.lateral.", "neck.context.")
# There or not, as a recipe says: may begin anew, or be left behind.
FOR_TRAINING = ("null_class.", "hidden_bank.", "hidden_head.")
NOT_IN_BUNDLES = ("clutter_bank.",)  # whole; a training fills it again


def warm_start(
    model: Method, start: str | Path, keypoints: Sequence[str], images: Callable[[], Tensor]
) -> list[str]:
    """Load into `model`, in place, what `start` holds: a checkpoint, a run folder, NAME.coke or `demo`.

    `keypoints` [K] are the model's. Those that `start` knows by the same name keep what it has learnt of them; the
    others begin as in a training from scratch, and are returned. `images` gives crops of the new training, uint8 BGR
    [n, H, W, 3], and is asked for a bundle alone: its BatchNorm is folded, and the statistics are measured again.

    A model with the stem widened takes its kernels as `widen_stem` does, and the levels of its neck from the coarsest
    on; the finest, which is new, begins with little weight. So it starts near the trained network at half the size.

    Raises CokeError if there is no such file or its tensors do not fit.
    """
    weights = weights_of(start)
    own = model.state_dict()
    rows = {name: row for row, name in enumerate(weights.keypoints)}
    if not model.per_keypoint and weights.keypoints != tuple(keypoints):
        raise CokeError(f"{start} is a network of other keypoints, which this method cannot start from.")
    new_levels = depth(own) - depth(weights.tensors)
    source = {moved(name, new_levels): tensor for name, tensor in weights.tensors.items()}
    source = {name: t for name, t in source.items() if name in own or not name.startswith(FOR_TRAINING)}
    fitted = {name: fit(tensor, own[name]) for name, tensor in source.items() if name in own}
    for name in fitted:
        if name.startswith(model.per_keypoint):
            fitted[name] = by_keypoint(
                source[name], own[name], [rows.get(keypoint) for keypoint in keypoints]
            )
    may_begin_anew = FOR_TRAINING + (NOT_IN_BUNDLES if weights.folded else ())
    left = [
        name
        for name in own
        if name not in fitted and level(name) not in range(new_levels) and not name.startswith(may_begin_anew)
    ]
    if len(fitted) < len(source) or left or any(t.shape != own[name].shape for name, t in fitted.items()):
        raise CokeError(
            f"The weights in {start} do not fit this recipe: start from a model with the same keys of the model part "
            "(stem_stride may be wider)."
        )
    model.load_state_dict(fitted, strict=False)
    if new_levels:
        hush(model, new_levels)
    if weights.folded:
        unfold_batchnorm(model, {moved(name, new_levels) for name in weights.folded}, images())
    return [keypoint for keypoint in keypoints if keypoint not in rows]


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


def by_keypoint(tensor: Tensor, own: Tensor, rows: Sequence[int | None]) -> Tensor:
    """Row k is row `rows[k]` of `tensor`, or the model's own where that is None; `tensor` itself if it cannot fit."""
    if tensor.shape[1:] != own.shape[1:]:
        return tensor
    return torch.stack([own[k] if row is None else tensor[row] for k, row in enumerate(rows)])


@torch.no_grad()
def hush(model: nn.Module, levels: int) -> None:
    """Give the BatchNorms whose outputs add to the neck's finest `levels` levels the weight QUIET."""
    neck = model.neck
    for lateral, context in list(zip(neck.lateral, neck.context, strict=True))[:levels]:  # type: ignore[union-attr, arg-type]
        lateral[1].weight.fill_(QUIET)
        for block in context:
            block.norm2.weight.fill_(QUIET)

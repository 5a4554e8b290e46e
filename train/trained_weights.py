"""What a trained model hands on to another training: the tensors of its network, from a checkpoint or from a bundle.

A bundle holds no checkpoint. Its fp32 graph has the same convolutions under the same names, but what stands between
them is folded in: the normalisation of the image, and BatchNorm. The first is divided out again; a BatchNorm becomes
one that adds the folded bias and nothing else, until `unfold.py` has measured its statistics anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from torch import Tensor, nn

from coke_edge.bundle import DEMO, Bundle, names_bundle
from coke_edge.errors import CokeError
from coke_edge.manifest import InputSpec
from coke_edge.train.checkpoint import read_checkpoint
from coke_edge.train.model import CokeModel
from coke_edge.train.recipe import BEFORE, Recipe

GRAPH = "model.fp32.onnx"
STEM = "stem"  # what export calls the first convolution where it has folded the normalisation into it


class Weights(NamedTuple):
    """Tensors by the names that they have in a `Method`, the keypoints in order, and which BatchNorms were folded."""

    tensors: dict[str, Tensor]
    keypoints: tuple[str, ...]
    folded: frozenset[str] = frozenset()


def weights_of(start: str | Path) -> Weights:
    """Raises CokeError if `start` is no checkpoint, run folder or bundle, is damaged, or names no recipe."""
    file = Path(start)
    if start != DEMO and not file.exists():
        raise CokeError(
            f"There is no {start} to start from: give a run folder, a checkpoint in it, a bundle or `demo`."
        )
    if names_bundle(start):
        return bundle_weights(Bundle(start))
    tensors, description = read_checkpoint(file / "best.safetensors" if file.is_dir() else file)
    own = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    return Weights(own, description.spec.keypoints.names)


def bundle_weights(bundle: Bundle) -> Weights:
    """The network of a bundle's fp32 graph, and its prototypes."""
    spec = bundle.manifest.model
    network = untrained(bundle)
    convolutions, others = read_graph(bundle.read(GRAPH))
    if STEM in convolutions:
        first = next(name for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
        weight, bias = convolutions.pop(STEM)
        convolutions[first] = normalising(weight, spec.input), bias
    tensors = {name: others[name] for name in network.state_dict() if name in others}
    folded = set()
    waiting: Tensor | None = None  # the bias of a convolution that has none: a BatchNorm's that followed it
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and name in convolutions:
            weight, bias = convolutions[name]
            tensors[f"{name}.weight"] = weight
            waiting = bias if module.bias is None else None
            if module.bias is not None:
                tensors[f"{name}.bias"] = bias
        elif isinstance(module, nn.BatchNorm2d) and waiting is not None:
            tensors |= {f"{name}.{key}": value for key, value in adding(waiting, module.eps).items()}
            folded.add(name)
            waiting = None
    tensors |= {"mean": torch.tensor(spec.input.mean), "std": torch.tensor(spec.input.std)}
    prototypes = torch.from_numpy(bundle.banks()["prototypes"].copy())
    count = len(spec.keypoints.names)
    tensors |= keypoint_bank(network, prototypes[:count])
    if spec.hidden_maps:
        tensors["hidden_bank.weight"] = prototypes[count:]
    return Weights(tensors, spec.keypoints.names, frozenset(folded))


def untrained(bundle: Bundle) -> CokeModel:
    """A network as the bundle's was trained, with other weights."""
    try:
        recipe = msgspec.convert({**BEFORE, **bundle.manifest.training["recipe"]}, Recipe)
    except (KeyError, TypeError, msgspec.ValidationError):
        raise CokeError(
            f"{bundle.path} does not say by which recipe it was trained, so no training can start from it: "
            "give its checkpoint."
        ) from None
    offline = msgspec.structs.replace(recipe, pretrained="none", start=None)
    if not bundle.manifest.model.hidden_maps:
        offline = msgspec.structs.replace(offline, placement=0.0)
    return CokeModel(offline, len(bundle.manifest.model.keypoints.names))


def read_graph(data: bytes) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]:
    """Weight and bias of each convolution by its name, and all initialisers by theirs. A bias of 0 may not be there.

    Raises CokeError without the package onnx, which the extra `train` does not bring.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise CokeError(
            "To start from a bundle its graph must be read: pip install 'coke-edge[export]'."
        ) from None
    graph = onnx.load_from_string(data).graph
    arrays = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
    convolutions = {}
    for node in graph.node:
        if node.op_type == "Conv":
            name, *rest = node.input[1:]
            weight = arrays[name]
            bias = arrays[rest[0]] if rest else torch.zeros(len(weight))
            convolutions[name.removesuffix(".weight")] = weight, bias
    return convolutions, arrays


def normalising(weight: Tensor, spec: InputSpec) -> Tensor:
    """The kernels of a stem that takes RGB divided by 255 and the deviation, from those that take BGR in bytes."""
    return weight.flip(1) * 255.0 * torch.tensor(spec.std)[:, None, None]


def adding(bias: Tensor, eps: float) -> dict[str, Tensor]:
    """The tensors of a BatchNorm that adds `bias` and changes nothing else."""
    one = torch.ones_like(bias)
    statistics: dict[str, Any] = {"running_mean": torch.zeros_like(bias), "running_var": one - eps}
    return {"weight": one, "bias": bias, **statistics, "num_batches_tracked": torch.tensor(0)}


def keypoint_bank(network: CokeModel, prototypes: Tensor) -> dict[str, Tensor]:
    """The tensors of a keypoint bank [K, C] with these prototypes, as if `prototype_cap` features had made them."""
    tensors = {name: torch.zeros_like(own) for name, own in network.keypoint_bank.state_dict().items()}
    tensors["weight" if network.keypoint_bank.mode == "learned" else "mean"] = prototypes
    if "count" in tensors:
        tensors["count"] += network.keypoint_bank.cap
    return {f"keypoint_bank.{name}": tensor for name, tensor in tensors.items()}

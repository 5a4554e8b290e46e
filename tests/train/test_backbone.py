"""Backbones: where weights come from, what is refused, what is frozen."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from coke_edge.errors import CokeError
from coke_edge.train.backbone import (
    all_features,
    create_backbone,
    freeze,
    load_weights,
    packaged_weights,
    read_state_dict,
    widen_stem,
)


def test_packaged_imagenet_weights_classify_like_the_original_network() -> None:
    """Names differ between the two projects: the pairing by order must put every tensor in its place."""
    source = read_state_dict(packaged_weights("tf_efficientnet_lite0"))
    backbone = create_backbone("tf_efficientnet_lite0")
    own = backbone.state_dict()
    assert torch.equal(own["conv_stem.weight"], source["_conv_stem.weight"])
    assert torch.equal(own["blocks.0.0.conv_dw.weight"], source["_blocks.0._depthwise_conv.weight"])
    assert torch.equal(own["blocks.6.0.conv_pwl.weight"], source["_blocks.15._project_conv.weight"])
    assert torch.equal(own["blocks.6.0.bn3.running_var"], source["_blocks.15._bn2.running_var"])


def test_strides_and_shapes() -> None:
    maps = create_backbone("resnet18", "none")(torch.zeros(1, 3, 64, 96))
    assert [tuple(m.shape[2:]) for m in maps] == [(8, 12), (4, 6), (2, 3)]


def test_unknown_backbone() -> None:
    with pytest.raises(CokeError, match="no backbone 'resnet1800'"):
        create_backbone("resnet1800", "none")


def test_weights_from_a_file_by_name(tmp_path: Path) -> None:
    full = timm.create_model("resnet18", pretrained=False)
    save_file(full.state_dict(), tmp_path / "w.safetensors")
    backbone = create_backbone("resnet18", str(tmp_path / "w.safetensors"))
    assert torch.equal(backbone.state_dict()["layer4.1.bn2.weight"], full.state_dict()["layer4.1.bn2.weight"])
    assert torch.equal(backbone.state_dict()["conv1.weight"], full.state_dict()["conv1.weight"])


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file(timm.create_model("resnet18", pretrained=False).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(CokeError, match="do not fit this backbone"):
        load_weights(create_backbone("tf_efficientnet_lite0", "none"), tmp_path / "w.safetensors")


def test_missing_and_broken_weight_files(tmp_path: Path) -> None:
    with pytest.raises(CokeError, match="no weight file"):
        create_backbone("resnet18", str(tmp_path / "none.pth"))
    (tmp_path / "broken.pth").write_bytes(b"not a file of weights")
    with pytest.raises(CokeError, match="no readable weight file"):
        create_backbone("resnet18", str(tmp_path / "broken.pth"))


@pytest.mark.parametrize(
    ("name", "fixed", "free"),
    [
        ("tf_efficientnet_lite0", "blocks.1.1.conv_pwl.weight", "blocks.2.0.conv_pw.weight"),
        ("resnet18", "layer1.1.bn2.weight", "layer2.0.conv1.weight"),
    ],
)
def test_freeze_stops_after_the_stride(name: str, fixed: str, free: str) -> None:
    backbone = create_backbone(name, "none")
    freeze(backbone, 4)
    parameters = dict(backbone.named_parameters())
    assert not parameters[fixed].requires_grad
    assert parameters[free].requires_grad
    assert not next(iter(parameters.values())).requires_grad


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18"])
def test_a_wide_stem_sees_the_means_of_two_by_two_pixels(name: str) -> None:
    narrow, wide = create_backbone(name, "none").eval(), create_backbone(name, "none").eval()
    wide.load_state_dict(narrow.state_dict())
    before = next(m for m in narrow.modules() if isinstance(m, torch.nn.Conv2d))
    widen_stem(wide)
    after = next(m for m in wide.modules() if isinstance(m, torch.nn.Conv2d))
    image = torch.rand(1, 3, 64, 96)
    # Without padding: at the border, and by a pixel where the old padding was not symmetric, the two differ.
    expected = F.conv2d(F.avg_pool2d(image, 2), before.weight, before.bias, stride=2)
    shifted = F.conv2d(image, after.weight, after.bias, stride=4)
    torch.testing.assert_close(shifted, expected)
    assert after(image).shape[2:] == (16, 24)


def test_a_wide_stem_gives_strides_from_8_to_64() -> None:
    backbone = create_backbone("resnet18", "none", stem_stride=4)
    maps = backbone(torch.zeros(1, 3, 128, 192))
    assert [tuple(m.shape[2:]) for m in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert [stage["reduction"] for stage in all_features(backbone)] == [4, 8, 16, 32, 64]


def test_a_wide_stem_keeps_the_packaged_weights() -> None:
    backbone = create_backbone("tf_efficientnet_lite0", stem_stride=4).state_dict()
    plain = create_backbone("tf_efficientnet_lite0").state_dict()
    means = F.avg_pool2d(backbone.pop("conv_stem.weight"), 2) * 4
    torch.testing.assert_close(means, plain.pop("conv_stem.weight"))
    assert all(torch.equal(backbone[key], plain[key]) for key in plain)


def test_a_stem_that_cannot_be_widened() -> None:
    with pytest.raises(CokeError, match="cannot be widened"):
        widen_stem(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=1)))

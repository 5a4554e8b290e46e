"""Starting from trained weights: what is taken over, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from coke_edge.errors import CokeError
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import InputSpec, Keypoints2D, ModelSpec
from coke_edge.train.checkpoint import Description, save_checkpoint
from coke_edge.train.method import Method
from coke_edge.train.methods import create_model
from coke_edge.train.recipe import Recipe, make_recipe
from coke_edge.train.state import prefixed
from coke_edge.train.warm_start import QUIET, warm_start

TINY = {"backbone": "test_efficientnet", "pretrained": "none", "width": 64, "height": 64, "channels": 16}


def saved(folder: Path, recipe: Recipe) -> Method:
    """A model of three keypoints, written as a run's best checkpoint."""
    model = create_model(recipe, 3).eval()
    half = (0.5, 0.5, 0.5)
    spec = ModelSpec(
        Keypoints2D(("a", "b", "c")),
        InputSpec(64, 64, 1.0, (0, 0, 0), half, half),
        8,
        HeadSpec("similarity", 0.07, 0.005),
    )
    save_checkpoint(
        folder / "best.safetensors", prefixed("model.", model.state_dict()), Description(spec, recipe, {})
    )
    return model


def test_the_same_network_starts_as_the_trained_one(tmp_path: Path) -> None:
    trained = saved(tmp_path, make_recipe(**TINY))
    model = create_model(make_recipe(**TINY), 3)
    warm_start(model, tmp_path)
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_wider_stem_starts_near_the_trained_network_at_half_the_size(tmp_path: Path) -> None:
    trained = saved(tmp_path, make_recipe(**TINY))
    model = create_model(make_recipe(**TINY, stem_stride=4), 3).eval()
    warm_start(model, tmp_path / "best.safetensors")
    weights = load_file(tmp_path / "best.safetensors")
    assert torch.equal(
        model.neck.state_dict()["lateral.1.0.weight"], weights["model.neck.lateral.0.0.weight"]
    )
    assert model.neck.lateral[0][1].weight.unique().tolist() == [pytest.approx(QUIET)]
    # A picture without detail: border and padding aside, both see the same.
    image = F.interpolate(torch.rand(1, 3, 4, 4) * 255, 256, mode="bicubic").clamp(0, 255)
    small = F.avg_pool2d(image, 2)
    as_bytes = [x.round().byte().permute(0, 2, 3, 1) for x in (image, small)]
    with torch.no_grad():
        fine, coarse = model.features(as_bytes[0]), trained.features(as_bytes[1])
    alike = F.cosine_similarity(F.avg_pool2d(fine, 2), coarse, dim=1)[..., 3:-3, 3:-3]
    assert alike.mean() > 0.8


@pytest.mark.parametrize("other", [{"channels": 24}, {"context": 1}, {"backbone": "resnet18"}])
def test_other_networks_are_refused(tmp_path: Path, other: dict[str, object]) -> None:
    saved(tmp_path, make_recipe(**TINY))
    with pytest.raises(CokeError, match="do not fit this recipe"):
        warm_start(create_model(make_recipe(**(TINY | other)), 3), tmp_path)


def test_other_keypoints_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, make_recipe(**TINY))
    with pytest.raises(CokeError, match="as many keypoints"):
        warm_start(create_model(make_recipe(**TINY), 4), tmp_path)


def test_no_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CokeError, match="no checkpoint"):
        warm_start(create_model(make_recipe(**TINY), 3), tmp_path / "none")

"""Starting from trained weights: what is taken over, for which keypoints, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

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
ABC = ("a", "b", "c")


def saved(folder: Path, recipe: Recipe, keypoints: tuple[str, ...] = ABC) -> Method:
    """A model, written as a run's best checkpoint."""
    model = create_model(recipe, len(keypoints)).eval()
    half = (0.5, 0.5, 0.5)
    spec = ModelSpec(
        Keypoints2D(keypoints),
        InputSpec(64, 64, 1.0, (0, 0, 0), half, half),
        8,
        HeadSpec("similarity", 0.07, 0.005),
    )
    save_checkpoint(
        folder / "best.safetensors", prefixed("model.", model.state_dict()), Description(spec, recipe, {})
    )
    return model


def begin(model: Method, start: Path, keypoints: tuple[str, ...] = ABC) -> list[str]:
    """A warm start from a checkpoint, which needs no images."""

    def no_images() -> Tensor:
        raise AssertionError("a checkpoint has its statistics")

    return warm_start(model, start, keypoints, no_images)


def test_the_same_network_starts_as_the_trained_one(tmp_path: Path) -> None:
    trained = saved(tmp_path, make_recipe(**TINY))
    model = create_model(make_recipe(**TINY), 3)
    assert begin(model, tmp_path) == []
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_wider_stem_starts_near_the_trained_network_at_half_the_size(tmp_path: Path) -> None:
    trained = saved(tmp_path, make_recipe(**TINY))
    model = create_model(make_recipe(**TINY, stem_stride=4), 3).eval()
    begin(model, tmp_path / "best.safetensors")
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


@pytest.mark.parametrize("prototypes", ["learned", "average", "momentum", "both"])
def test_keypoints_of_the_same_name_keep_their_prototypes(tmp_path: Path, prototypes: str) -> None:
    recipe = make_recipe(**TINY, prototypes=prototypes)
    trained = saved(tmp_path, recipe)
    model = create_model(recipe, 4)
    own = model.prototypes.clone()
    assert begin(model, tmp_path, ("c", "new", "a", "other")) == ["new", "other"]
    assert torch.equal(model.prototypes[[0, 2]], trained.prototypes[[2, 0]])
    assert torch.equal(model.prototypes[[1, 3]], own[[1, 3]])
    assert torch.equal(model.backbone.state_dict()["conv_stem.weight"], trained.backbone.conv_stem.weight)


@pytest.mark.parametrize("had", [{}, {"placement": 0.5}], ids=str)
@pytest.mark.parametrize("has", [{}, {"placement": 0.5}, {"presence": 0.0}], ids=str)
@pytest.mark.parametrize("method", ["coke", "heatmap"])
def test_what_training_alone_reads_may_be_new_or_left_behind(
    tmp_path: Path, method: str, had: dict[str, float], has: dict[str, float]
) -> None:
    trained = saved(tmp_path, make_recipe(**TINY, method=method, **had))
    model = create_model(make_recipe(**TINY, method=method, **has), 3)
    begin(model, tmp_path)
    assert torch.equal(model.neck.lateral[0][0].weight, trained.neck.lateral[0][0].weight)
    if had == has:
        assert model.state_dict().keys() == trained.state_dict().keys()
        assert all(torch.equal(t, trained.state_dict()[name]) for name, t in model.state_dict().items())


def test_a_heat_map_keeps_the_maps_of_keypoints_of_the_same_name(tmp_path: Path) -> None:
    recipe = make_recipe(**TINY, method="heatmap")
    trained = saved(tmp_path, recipe)
    model = create_model(recipe, 2)
    before = model.head.weight[0].clone()
    assert begin(model, tmp_path, ("new", "b")) == ["new"]
    assert torch.equal(model.head.weight[1], trained.head.weight[1])
    assert torch.equal(model.head.weight[0], before)


def test_an_hourglass_starts_from_one_of_the_same_keypoints_alone(tmp_path: Path) -> None:
    recipe = make_recipe(**TINY, method="hourglass", stacks=1)
    trained = saved(tmp_path, recipe)
    model = create_model(recipe, 3)
    begin(model, tmp_path)
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in model.state_dict().items())
    with pytest.raises(CokeError, match="other keypoints"):
        begin(model, tmp_path, ("a", "c", "b"))


@pytest.mark.parametrize("other", [{"channels": 24}, {"context": 1}, {"backbone": "resnet18"}])
def test_other_networks_are_refused(tmp_path: Path, other: dict[str, object]) -> None:
    saved(tmp_path, make_recipe(**TINY))
    with pytest.raises(CokeError, match="do not fit this recipe"):
        begin(create_model(make_recipe(**(TINY | other)), 3), tmp_path)


@pytest.mark.parametrize("name", ["none", "none.safetensors", "none.coke"])
def test_what_is_not_there_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(CokeError, match=f"There is no .*{name} to start from: give a run folder"):
        begin(create_model(make_recipe(**TINY), 3), tmp_path / name)


def test_a_folder_without_a_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CokeError, match="no checkpoint"):
        begin(create_model(make_recipe(**TINY), 3), tmp_path)

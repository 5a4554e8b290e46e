"""A bundle as the start of a training: its network is taken back out of the graph, whatever was folded into it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.numpy import save
from torch import Tensor, nn

from coke_edge.bundle import write_bundle
from coke_edge.errors import BundleError, CokeError
from coke_edge.export.banks import Banks
from coke_edge.export.graph import build_graph, serialise
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import InputSpec, Keypoints2D, Manifest, ModelSpec
from coke_edge.train.data.sample import KeypointDataset
from coke_edge.train.lineage import Stage, stages_of
from coke_edge.train.model import CokeModel
from coke_edge.train.recipe import Recipe, make_recipe
from coke_edge.train.trained_weights import weights_of
from coke_edge.train.trainer import Trainer
from coke_edge.train.warm_start import warm_start

TINY = {"backbone": "test_efficientnet", "pretrained": "none", "width": 64, "height": 64, "channels": 16}
ABC = ("a", "b", "c")
Trained = Callable[..., tuple[CokeModel, Recipe, Path]]


def images(count: int = 16) -> Tensor:
    """Random crops, of which a BatchNorm's mean and deviation are those of all of them."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    fine = nn.functional.interpolate(coarse, 64, mode="bicubic").clamp(0, 1)
    return (255 * fine).round().byte().permute(0, 2, 3, 1).contiguous()


def lively(model: CokeModel) -> CokeModel:
    """The model with biases, and statistics and weights of BatchNorm, as after a training, some of them negative."""
    for module in model.modules():
        # Narrow layers keep a bias of zero, which export leaves out of the graph.
        if isinstance(module, nn.Conv2d) and module.bias is not None and module.out_channels > 8:
            module.bias.data.normal_(std=0.3)
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(-1.5, 1.5)
            module.bias.data.normal_()
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.2, 3.0)
    model.mean.copy_(torch.tensor([0.2, 0.5, 0.7]))  # different, so that swapped channels show
    model.std.copy_(torch.tensor([0.1, 0.3, 0.6]))
    return model.eval()


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    """Function (recipe keys) → a network, its recipe, and the bundle that it was exported to."""

    def make(recorded: dict[str, Any] | None = None, **keys: Any) -> tuple[CokeModel, Recipe, Path]:
        torch.manual_seed(0)
        recipe = make_recipe(**(TINY | keys))
        model = lively(CokeModel(recipe, 3))
        model.clutter_bank.push(nn.functional.normalize(torch.randn(4, 16), dim=1))
        model.requires_grad_(False)
        size = InputSpec(64, 64, 1.0, (0, 0, 0), tuple(model.mean.tolist()), tuple(model.std.tolist()))
        spec = ModelSpec(
            Keypoints2D(ABC), size, 8, HeadSpec("similarity", 0.07, 0.005), hidden_maps=model.hidden_maps
        )
        banks = Banks.of(model)
        path = tmp_path / "trained.coke"
        training = {"recipe": msgspec.to_builtins(recipe)} if recorded is None else recorded
        entries = {
            "model.fp32.onnx": serialise(build_graph(model, spec, banks)),
            "banks.safetensors": save(banks.arrays()),
        }
        write_bundle(path, Manifest("trained", spec, {}, training=training), entries)
        return model, recipe, path

    return make


@pytest.mark.parametrize(
    "keys",
    [{}, {"fold_batchnorm": False, "prototypes": "both"}, {"stem_stride": 4, "prototypes": "average"}],
    ids=str,
)
def test_a_training_starts_as_the_network_in_the_bundle(trained: Trained, keys: dict[str, Any]) -> None:
    network, recipe, path = trained(**keys)
    model = CokeModel(recipe, 3)
    assert warm_start(model, path, ABC, images) == []
    torch.testing.assert_close(model.prototypes, network.prototypes)
    torch.testing.assert_close((model.mean, model.std), (network.mean, network.std))
    with torch.no_grad():
        expected = network.features(images())
        tolerance = {"rtol": 0.0, "atol": 1e-4 * float(expected.abs().max())}
        torch.testing.assert_close(model.eval().features(images()), expected, **tolerance)
        # The statistics are those of this batch, so that training mode is the same map.
        torch.testing.assert_close(model.train().features(images()), expected, **tolerance)


def test_other_keypoints_and_a_wider_stem(trained: Trained) -> None:
    network, _, path = trained()
    model = CokeModel(make_recipe(**TINY, stem_stride=4), 2)
    assert warm_start(model, path, ("new", "c"), images) == ["new"]
    torch.testing.assert_close(model.prototypes[1], network.prototypes[2])
    assert len(model.neck.lateral) == len(network.neck.lateral) + 1
    assert len(model.clutter) == 0  # a bundle has a few centres of it: the training fills it again


def test_another_network_is_refused(trained: Trained) -> None:
    _, _, path = trained()
    with pytest.raises(CokeError, match="do not fit this recipe"):
        warm_start(CokeModel(make_recipe(**(TINY | {"context": 1})), 3), path, ABC, images)


@pytest.mark.parametrize("recorded", [{}, {"recipe": "by hand"}, {"recipe": {"channels": 1}}], ids=str)
def test_a_bundle_that_names_no_recipe_is_one_sentence(trained: Trained, recorded: dict[str, Any]) -> None:
    _, _, path = trained(recorded)
    with pytest.raises(CokeError, match=r"does not say by which recipe it was trained.*give its checkpoint"):
        weights_of(path)


def test_without_onnx_it_is_one_sentence(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, path = trained()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(CokeError, match=r"pip install 'coke-edge\[export\]'"):
        weights_of(path)


def test_a_damaged_bundle_is_one_sentence(trained: Trained) -> None:
    _, _, path = trained()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match="cut short"):
        weights_of(path)


def test_a_run_from_a_bundle_says_what_is_new_and_remembers_where_it_is_from(
    trained: Trained, dots: KeypointDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorded = {"recipe": msgspec.to_builtins(make_recipe(**TINY)), "data": "lsp:lsp"}
    _, _, path = trained(recorded)
    recipe = make_recipe(**TINY, start=str(path), epochs=1, workers=0, clutter_size=16)
    trainer = Trainer(recipe, dots, dots, tmp_path / "run", accelerator="cpu")
    assert "does not know left_top, right_top, left_low, right_low: learnt from scratch" in caplog.text
    assert trainer.files.earlier == [Stage("lsp:lsp")]
    trainer.fit()
    assert stages_of(tmp_path / "run") == [Stage("lsp:lsp"), Stage("dots")]

"""The torch backend against the numpy definition of the head on the same crops."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch

from coke_edge.geometry import box_to_crop
from coke_edge.kernels import reference
from coke_edge.preprocess import crop
from coke_edge.train.model import CokeModel
from coke_edge.train.recipe import make_recipe
from coke_edge.train.torch_backend import TorchBackend

FRAME = np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8)
BOXES = [(10, 5, 80, 60), (-20, 30, 60, 120), (0, 0, 139, 89)]


@pytest.mark.parametrize("rule", ["similarity", "margin", "log_odds"])
@pytest.mark.parametrize("peaks", [1, 3])
def test_it_gives_the_peaks_of_the_reference(world, rule, peaks):
    head = dataclasses.replace(world.spec.head, rule=rule, peaks=peaks)
    spec = msgspec.structs.replace(world.spec, head=head)
    affines = [box_to_crop(box, spec.input.width, spec.input.height) for box in BOXES]
    found = TorchBackend(SimpleNamespace(model=world.model, spec=spec))(FRAME, affines)

    crops = np.stack([crop(FRAME, affine, spec.input) for affine in affines])
    features = crops.astype(np.float32).transpose(0, 3, 1, 2) - 127
    features = features.reshape(3, 3, 16, 8, 16, 8).mean(axis=(3, 5))
    features = np.pad(features, ((0, 0), (0, 1), (0, 0), (0, 0)), constant_values=60)
    expected = reference.match(features, world.model.prototypes.numpy(), world.model.clutter.numpy(), head)
    assert isinstance(found, reference.Peaks)
    np.testing.assert_array_equal(found.index, expected.index)
    for name in ("similarity", "clutter", "soft_clutter", "neighbourhood"):
        got, want = getattr(found, name), getattr(expected, name)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, atol=2e-5)


def test_it_runs_the_real_model_without_touching_it(world):
    recipe = make_recipe("tiny", pretrained="none", placement=0.0)
    torch.manual_seed(0)
    model = CokeModel(recipe, 4).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    size = msgspec.structs.replace(world.spec.input, width=64, height=32)
    backend = TorchBackend(SimpleNamespace(model=model, spec=msgspec.structs.replace(world.spec, input=size)))
    found = backend(FRAME, [box_to_crop(box, 64, 32) for box in BOXES])
    assert backend.name == "torch"
    assert found.index.shape == (3, 4, 1)
    assert (found.clutter == -1).all()  # the bank is empty
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())

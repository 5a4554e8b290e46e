"""What becomes of a network's BatchNorm when several processes train it; its arithmetic is in test_distributed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from coke_edge.train.methods import create_model
from coke_edge.train.recipe import make_recipe
from coke_edge.train.synced_batchnorm import CpuSyncBatchNorm, synchronise_batchnorm


@pytest.mark.parametrize(("device", "kind"), [("cpu", CpuSyncBatchNorm), ("cuda", nn.SyncBatchNorm)])
def test_a_network_keeps_its_tensors_their_names_and_its_function(device: str, kind: type[nn.Module]) -> None:
    recipe = make_recipe(
        "edge", backbone="test_efficientnet", pretrained="none", channels=16, fold_batchnorm=False
    )
    model = create_model(recipe, 3)
    before, parameters = copy.deepcopy(model), dict(model.named_parameters())
    synchronise_batchnorm(model, torch.device(device))
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) > 15
    assert all(isinstance(norm, kind) for norm in norms)
    assert list(model.state_dict()) == list(before.state_dict())
    assert all(parameters[name] is parameter for name, parameter in model.named_parameters())
    image = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(model.eval().features(image), before.eval().features(image))

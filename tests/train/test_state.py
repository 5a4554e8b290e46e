"""Where a run stands, also one that an older version began."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from coke_edge.errors import BundleError
from coke_edge.train.state import Progress, flatten_optimizer, restore_optimizer


def test_losses_are_averaged_over_the_batches_of_an_epoch() -> None:
    progress = Progress()
    progress.add([1.0, 4.0])
    progress.add([3.0, 0.0])
    assert progress.end_epoch() == [2.0, 2.0]
    assert (progress.epoch, progress.batch, progress.losses) == (1, 0, [])


def test_an_epoch_begun_before_a_part_of_the_loss_was_there_goes_on() -> None:
    progress = Progress(batch=1, losses=[1.0, 4.0], summed=1)
    progress.add([3.0, 0.0, 2.0])
    assert progress.end_epoch() == [2.0, 2.0, 1.0]


class TwoBanks(nn.Module):
    """Parameters whose names and whose order in the optimiser differ."""

    def __init__(self) -> None:
        super().__init__()
        self.keypoint_bank = nn.Linear(3, 2)
        self.neck = nn.Linear(3, 4)

    def optimizer(self, *, neck_first: bool) -> torch.optim.Optimizer:
        groups = [{"params": [*part.parameters()]} for part in (self.keypoint_bank, self.neck)]
        return torch.optim.AdamW(groups[::-1] if neck_first else groups, fused=True)


def stepped(*, neck_first: bool) -> tuple[TwoBanks, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = TwoBanks()
    optimizer = model.optimizer(neck_first=neck_first)
    sum(layer(torch.arange(3.0)).square().sum() for layer in (model.keypoint_bank, model.neck)).backward()
    optimizer.step()
    return model, optimizer


def test_the_optimisers_tensors_go_by_name_whatever_its_order() -> None:
    model, optimizer = stepped(neck_first=False)
    tensors = flatten_optimizer(optimizer, model)
    assert "optimizer.neck.weight.exp_avg" in tensors
    other = model.optimizer(neck_first=True)
    restore_optimizer(other, model, tensors)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert torch.equal(other.state[parameter]["exp_avg"], 0.1 * parameter.grad), name


def test_files_with_numbers_fit_their_own_order_alone() -> None:
    model, optimizer = stepped(neck_first=False)
    numbers = {name: str(i) for i, (name, _) in enumerate(model.named_parameters())}
    tensors = {
        f"optimizer.{numbers[name]}.{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }
    same = model.optimizer(neck_first=False)
    restore_optimizer(same, model, tensors)
    assert torch.equal(
        same.state[model.neck.bias]["exp_avg_sq"], optimizer.state[model.neck.bias]["exp_avg_sq"]
    )
    with pytest.raises(BundleError, match="begun by another version"):
        restore_optimizer(model.optimizer(neck_first=True), model, tensors)

"""Where a run stands, also one that an older version began."""

from __future__ import annotations

from coke_edge.train.state import Progress


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

"""The processes of one run: what they agree on, what the first one does for all, and how they end together.

Several are started by torchrun, or by Fabric's own launcher for `devices` above 1, and talk through
torch.distributed. One process is the usual case, in which nothing here has any effect.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from coke_edge.errors import CokeError
from coke_edge.train.devices import make_fabric

Value = TypeVar("Value")
LOST = re.compile(
    r"Connection (was likely )?(closed|reset|refused)|Broken pipe|Timed out", re.IGNORECASE
)  # Gloo's
OBSERVER = "lightning_fabric.strategies.launchers"  # ends the first process when another one has died


class ToldByFirstError(CokeError):
    """All processes end for the same reason, which the first one says: the others need not repeat it."""


class Processes:
    """This process and its fellows; `rank` counts from 0, and the first one writes, validates and speaks."""

    def __init__(self, devices: int = 1, accelerator: str = "auto") -> None:
        """Raises CokeError for devices that are not here; returns when all processes have come."""
        self.fabric = make_fabric(devices, accelerator)
        self.count = int(self.fabric.world_size)
        if self.count > 1:
            logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it greets …
            logging.getLogger(OBSERVER).setLevel(logging.INFO)  # … and says which process has died
            self.fabric.launch()
        self.rank = int(self.fabric.global_rank)
        self.device: torch.device = self.fabric.device

    @property
    def first(self) -> bool:
        """Whether this one acts for all."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.count == 1:
            return flag
        flags = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the processes of a tensor; not finite if it is so in any."""
        if self.count == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value / self.count

    def from_first(self, value: Value) -> Value:
        """What the first process has."""
        if self.count == 1:
            return value
        return self.fabric.broadcast(value)

    def require_same(self, value: Any, what: str) -> None:
        """Raises CokeError if the processes do not all have the same value."""
        if self.any(self.from_first(value) != value):
            sentence = (
                f"the processes of this run do not have the same {what}: start all with the same options"
            )
            raise self.common(CokeError(sentence))

    def common(self, error: CokeError) -> CokeError:
        """The error to raise for a reason that every process knows: the first one's is heard."""
        return error if self.first else ToldByFirstError(str(error))

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that holds no communication: what one process raises in it, all raise at its end.

        That is CokeError or KeyboardInterrupt; anything else is a bug of ours and ends its process with a traceback.
        """
        error: CokeError | KeyboardInterrupt | None = None
        try:
            yield
        except (CokeError, KeyboardInterrupt) as caught:
            if self.count == 1:
                raise
            error = caught
        if self.count > 1 and self.any(error is not None):
            self.fail(error)

    def fail(self, error: CokeError | KeyboardInterrupt | None) -> NoReturn:
        """Raise in all processes what has come up in some of them."""
        errors: list[CokeError | KeyboardInterrupt | None] = [None] * self.count
        dist.all_gather_object(errors, error)
        found = [(rank, e) for rank, e in enumerate(errors) if e is not None]
        if any(isinstance(e, KeyboardInterrupt) for _, e in found):
            raise KeyboardInterrupt
        rank, reason = found[0]
        assert isinstance(reason, CokeError)
        everywhere = len(found) == self.count
        raise self.common(reason if everywhere else type(reason)(f"rank {rank}: {reason}"))

    @contextmanager
    def meeting(self) -> Iterator[None]:
        """What a lost connection raises in the block comes as CokeError."""
        try:
            yield
        except RuntimeError as error:
            if self.count > 1 and is_lost(error):
                raise CokeError(
                    f"rank {self.rank} of {self.count} has lost another process of this run, which has died or cannot "
                    "be reached: see what it said; `coke-edge train --resume` goes on from the last checkpoint"
                ) from error
            raise


def is_lost(error: Exception) -> bool:
    """Whether torch.distributed says that a peer is gone."""
    return isinstance(error, dist.DistError) or LOST.search(str(error)) is not None

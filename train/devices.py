"""Which devices a run trains on: one here, several here, or what torchrun has given to each of its processes."""

from __future__ import annotations

import inspect
import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from coke_edge.errors import CokeError

# The others wait while one process validates, draws and writes; on a large data set that may take long. A process
# that has died is noticed sooner: by its connections, or by whoever launched it.
PATIENCE = timedelta(hours=2)

# Buffers are the same in all processes by construction: nothing has to be sent. torch 2.15 has a new name for it.
NEW_NAME = "forward_sync_buffers"
KNOWN = inspect.signature(DistributedDataParallel).parameters
OWN_BUFFERS: dict[str, Any] = {NEW_NAME if NEW_NAME in KNOWN else "broadcast_buffers": False}


def make_fabric(devices: int, accelerator: str) -> Fabric:
    """The engine, for one process or, on `devices` devices of this machine or under torchrun, for several.

    Raises CokeError for devices that this machine does not have.
    """
    here, machines = layout(devices)
    several: dict[str, Any] = {}
    if here * machines > 1:
        require_devices(here, accelerator)
        several = {
            "num_nodes": machines,
            # What a batch has no example of may have a gradient in one process and none in another.
            "strategy": DDPStrategy(find_unused_parameters=True, timeout=PATIENCE, **OWN_BUFFERS),
        }
    try:
        # Mixed precision is the model's own matter: Fabric's would round the labels too.
        return Fabric(accelerator=accelerator, devices=here, **several)
    except (ValueError, RuntimeError, ImportError) as error:
        raise CokeError(
            f"this machine has no {accelerator!r} to train on: use --accelerator auto or cpu"
        ) from error


def layout(devices: int) -> tuple[int, int]:
    """Processes on this machine, and machines. Raises CokeError if `devices` contradicts torchrun."""
    if devices < 1:
        raise CokeError(
            f"training needs at least one device, not {devices}: leave --devices out, or raise it"
        )
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        return devices, 1
    everywhere, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if devices not in (1, here):
        raise CokeError(
            f"torchrun has started {here} processes on this machine, but --devices says {devices}: leave it out"
        )
    if everywhere % here:
        raise CokeError(
            f"torchrun has started {everywhere} processes, {here} of them on this machine: "
            "give every machine the same --nproc-per-node"
        )
    return here, everywhere // here


def require_devices(wanted: int, accelerator: str) -> None:
    """Raises CokeError unless there are so many GPUs here; several processes on a CPU have to be asked for."""
    if accelerator == "cpu":
        return
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < wanted:
        raise CokeError(
            f"{wanted} processes here need {wanted} GPUs, but torch sees {found}: start fewer, or train on the CPU "
            "with --accelerator cpu"
        )

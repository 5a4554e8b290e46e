"""Which of a machine's GPUs CUDA works on here, by the name that all of NVIDIA's tools share: its place on the PCI bus.

CUDA counts the GPUs that CUDA_VISIBLE_DEVICES leaves, by number or by UUID, in an order of its own; NVML and nvidia-smi
count all of them. So "GPU 0" is not the same for both, and CUDA itself is asked where its GPU is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coke_edge.doctor.libcuda import describe


def pci_bus(ask: Callable[[], dict[str, Any]] = describe) -> str:
    """The place of the GPU that CUDA calls 0, such as 0000:65:00.0; empty if CUDA finds none. Starts CUDA here."""
    devices = ask()["devices"]
    return str(devices[0]["bus"]) if devices else ""


def smi_option(bus: str) -> list[str]:
    """What makes `nvidia-smi` speak of that GPU alone; without a place it speaks of all that there are."""
    return [f"--id={bus}"] if bus else []

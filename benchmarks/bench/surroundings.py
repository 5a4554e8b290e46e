"""The machine and the versions that a result names."""

from __future__ import annotations

import hashlib
import uuid

from coke_edge.benchmarks.bench.result import Machine as MachineOfResult
from coke_edge.benchmarks.sensors import governor, power_mode
from coke_edge.doctor.machine import Machine
from coke_edge.doctor.report import Facts

IDENTITIES = ("/etc/machine-id", "/sys/class/dmi/id/product_uuid", "/proc/device-tree/serial-number")


def describe(machine: Machine, facts: Facts) -> MachineOfResult:
    """This machine, as a result has it."""
    gpu = facts.gpu.devices[0] if facts.gpu.devices else None
    system = facts.system
    return MachineOfResult(
        name=identity(machine),
        processor=system.cpu,
        cores=system.cores,
        memory_bytes=system.memory,
        system=f"{system.os}, kernel {system.kernel}, {system.architecture}",
        gpu=gpu.name if gpu else None,
        driver=facts.gpu.driver,
        power_mode=power_mode(machine),
        governor=governor(machine),
        vnni=system.int8_dot_product,
    )


def identity(machine: Machine) -> str:
    """The same for every result of this machine, and no clue to which it is: a hash of what makes it unique."""
    # The first of them alone: root could read more than a user, and both are to give the same.
    found = next((text for path in IDENTITIES if (text := machine.read(path))), f"{uuid.getnode():x}")
    return hashlib.sha256(f"coke-edge bench: {found}".encode()).hexdigest()[:12]


def gpu_of(facts: Facts) -> str:
    """Where the GPU that every backend works on, CUDA's first, is on the PCI bus; empty if there is none."""
    return facts.gpu.devices[0].bus if facts.gpu.devices else ""

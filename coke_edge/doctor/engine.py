"""The TensorRT engine that a bundle would run on here: its precision, its head, and whether it is in the cache."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from coke_edge.backends.tensorrt import for_gpu
from coke_edge.doctor.remedy import RTX_CAPABILITIES
from coke_edge.engine import cache
from coke_edge.engine.obtain import machine, wanted
from coke_edge.engine.provider import DEVICE, MODULES, OLDEST, RTX, Provider
from coke_edge.engine.spec import EngineSpec, choose
from coke_edge.kernels.driver import Gpu

if TYPE_CHECKING:
    from coke_edge.bundle import Bundle
    from coke_edge.doctor.report import Facts


@dataclasses.dataclass(frozen=True)
class Expected:
    """What `backends.tensorrt` would do."""

    precision: str
    note: str  # where the head runs, and why
    absence: str | None  # why an engine must be built; None: there is one


def expect(bundle: Bundle, facts: Facts) -> Expected:
    """The engine that the backend would take on this GPU, without TensorRT.

    Raises BundleError if the manifest of the bundle's kernels is broken.
    """
    gpu = here(facts)
    versions = providers(facts)
    provider, workspace = next(iter(versions), None), None
    spec, reason = choose(bundle, gpu)
    for sidecar in cache.sidecars_of(bundle.sha256):  # the one that was built last decides
        if for_gpu(sidecar, gpu) and sidecar.machine.provider in versions:
            provider, workspace = sidecar.machine.provider, sidecar.workspace
            spec, reason = choose(bundle, gpu, sidecar.spec.precision, sidecar.spec.head, sidecar.spec.batch)
            break
    if provider is None:
        return Expected(spec.precision, head(spec, reason), "TensorRT is missing")
    package = Provider(provider, versions[provider], None, None)
    found = cache.find(wanted(bundle, spec, machine(package, gpu), workspace))
    return Expected(spec.precision, head(spec, reason), found if isinstance(found, str) else None)


def head(spec: EngineSpec, reason: str) -> str:
    """Where the head of an engine runs."""
    if spec.head == "kernels":
        return "the head runs in the bundle's kernels"
    return f"the head runs inside the engine, in standard operators{f', since {reason}' if reason else ''}"


def here(facts: Facts) -> Gpu:
    """The first GPU as the kernels' launch knows it."""
    device = facts.gpu.devices[0]
    major, minor = map(int, (facts.gpu.cuda or "0.0").split("."))
    return Gpu(
        name=device.name,
        capability=device.capability,
        processors=device.processors,
        shared_memory=device.shared_memory,
        memory=device.memory,
        driver_version=1000 * major + 10 * minor,
    )


def providers(facts: Facts) -> dict[str, str]:
    """Name → version of the packages that build and run engines for the GPU here, in the order of choice."""
    found = {name: facts.packages[module] for name, module in MODULES.items()}
    versions = {
        name: package.version for name, package in found.items() if package.usable and package.version
    }
    if RTX in versions and facts.gpu.devices[0].capability not in RTX_CAPABILITIES:
        del versions[RTX]
    if DEVICE in versions and tuple(map(int, versions[DEVICE].split(".")[:2])) < OLDEST:
        del versions[DEVICE]
    return versions

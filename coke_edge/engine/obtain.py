"""The engine that somebody needs: from the cache if one fits, else built, with a line that says why."""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from coke_edge.bundle import Bundle
from coke_edge.engine import cache
from coke_edge.engine import sidecar as sidecars
from coke_edge.engine.build import Progress, build
from coke_edge.engine.cache import Found, TimingFile, Wanted
from coke_edge.engine.context import Engine
from coke_edge.engine.plugin import read_source
from coke_edge.engine.provider import RTX, Provider
from coke_edge.engine.sidecar import Machine, Sidecar
from coke_edge.engine.spec import EngineSpec
from coke_edge.errors import BackendError
from coke_edge.kernels.driver import Gpu

UNPROVEN_ON_RTX = ("int8", "fp8")  # its support matrix names neither for convolutions
Notice = Callable[[str], None]


class Obtained(NamedTuple):
    """An engine, and whether it was built just now."""

    path: Path
    content: bytes
    sidecar: Sidecar
    built: bool


def machine(provider: Provider, gpu: Gpu | None, capability: int | None = None) -> Machine:
    """What an engine must fit: this GPU, or with TensorRT for RTX any GPU of a compute capability.

    Raises BackendError if there is neither.
    """
    aimed = capability or (gpu.capability if gpu else None)
    if aimed is None or (gpu is None and provider.name != RTX):
        raise BackendError(
            f"{provider.title} builds on the GPU that the engine is for, and there is none here"
        )
    if provider.name == RTX:
        return Machine("", aimed, 0, provider.name, provider.version, 0)
    assert gpu is not None
    return Machine(gpu.name, aimed, gpu.driver_version, provider.name, provider.version, gpu.processors)


def wanted(
    bundle: Bundle, spec: EngineSpec, on: Machine, workspace: int | None = None, folder: Path | None = None
) -> Wanted:
    """The engine of a bundle for a machine, in a folder (the cache's if None)."""
    return Wanted(bundle.sha256, bundle.manifest.name, on, spec, folder or cache.folder(), workspace)


def obtain(
    provider: Provider,
    bundle: Bundle,
    want: Wanted,
    *,
    notice: Notice,
    here: bool = True,  # the GPU that it is for is here
    rebuild: str = "",  # build in any case, for this reason
    progress: Progress | None = None,
) -> Obtained:
    """The engine from the cache, or a new one that is put there; `notice` is told why.

    Nobody else builds the same engine at the same time. Raises BackendError if it cannot be built; a build that
    fails or is interrupted leaves the cache as it was.
    """
    if not rebuild and isinstance(found := cache.find(want), Found):
        return Obtained(*found, built=False)  # also from a folder that cannot be written
    with cache.building(want):
        reason = rebuild or cache.find(want)
        if isinstance(reason, Found):  # another process was faster
            return Obtained(*reason, built=False)
        notice(
            f"Building an {want.spec.precision} engine of {bundle.path} with {provider.title} "
            f"for {cache.described(want.machine)}: {reason}."
        )
        if provider.name == RTX and want.spec.precision in UNPROVEN_ON_RTX:
            notice(
                f"TensorRT for RTX documents {want.spec.precision} for matrix products, not for convolutions: "
                "compare its speed with fp16 before relying on it."
            )
        begun = time.monotonic()
        content = build(
            provider,
            bundle.read(want.spec.graph),
            want.spec,
            workspace=want.workspace,
            timing=TimingFile(want.folder, want.machine),
            progress=progress,
            capability=want.machine.capability if provider.name == RTX else None,
            plugin=read_source(bundle, want.spec) if want.spec.head == "plugin" else None,
        )
        seconds = time.monotonic() - begun
        sidecar = Sidecar(
            bundle=want.bundle,
            name=want.name,
            machine=want.machine,
            spec=want.spec,
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            seconds=round(seconds, 1),
            workspace=want.workspace,
            layers=Engine(provider, content).layers() if here else None,
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"),
        )
        sidecars.write(want.path, content, sidecar)
        return Obtained(want.path, content, sidecar, built=True)


def opened(provider: Provider, bundle: Bundle, want: Wanted, notice: Notice) -> tuple[Engine, Obtained]:
    """The engine, deserialised; one from the cache that TensorRT refuses all the same is built again, once.

    Raises BackendError if it cannot be built or the new one is refused too.
    """
    obtained = obtain(provider, bundle, want, notice=notice)
    try:
        return Engine(provider, obtained.content), obtained
    except BackendError as error:
        if obtained.built:
            raise
        obtained = obtain(provider, bundle, want, notice=notice, rebuild=f"{obtained.path.name}: {error}")
    return Engine(provider, obtained.content), obtained

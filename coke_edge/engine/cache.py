"""The folder of engines: which one fits, and why another does not.

A file's name is decided by what is built (bundle, precision, head, batch) and for which kind of machine (provider,
GPU, compute capability). What can change under it (driver, version of TensorRT, ours) is in the sidecar and compared
when the engine is taken. The driver and the version may go up on a device at any time; the GPU changes when a cache is
copied or shared.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from coke_edge.engine import sidecar as sidecars
from coke_edge.engine.sidecar import BUILDER, Machine, Sidecar
from coke_edge.engine.spec import EngineSpec
from coke_edge.errors import BackendError
from coke_edge.files import replacing

VARIABLE = "COKE_EDGE_CACHE"


class Wanted(NamedTuple):
    """An engine that somebody needs."""

    bundle: str  # sha256 of the bundle's file
    name: str  # of the bundle
    machine: Machine
    spec: EngineSpec
    folder: Path  # where it is looked for and put
    workspace: int | None = None  # MiB

    @property
    def path(self) -> Path:
        """The file."""
        on = self.machine
        which = (on.provider, on.gpu, on.capability, on.processors)
        fixed = (self.bundle, which, self.spec, self.workspace)
        key = hashlib.sha256(msgspec.json.encode(fixed)).hexdigest()[:12]
        return self.folder / f"{slug(self.name)}-{self.spec.precision}-{self.spec.head}-{key}.engine"


class Found(NamedTuple):
    """A whole engine that fits."""

    path: Path
    content: bytes
    sidecar: Sidecar


def folder() -> Path:
    """Where engines are kept: $COKE_EDGE_CACHE/engines, or ~/.cache/coke-edge/engines."""
    base = os.environ.get(VARIABLE)
    if base:
        return Path(base).expanduser() / "engines"
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(shared).expanduser() / "coke-edge" / "engines"


def find(wanted: Wanted) -> Found | str:
    """The engine, or why there is none that can be used, one clause."""
    path = wanted.path
    if not path.exists():
        return absence(wanted)
    sidecar = sidecars.read(path)
    if sidecar is None:
        return f"{path.name} has no readable sidecar: its build was cut short, or another version wrote it"
    if reason := misfit(sidecar, wanted):
        return f"{path.name} {reason}"
    content = sidecars.intact(path, sidecar)
    if content is None:
        return f"{path.name} is damaged: it is not the file that its sidecar describes"
    return Found(path, content, sidecar)


def misfit(sidecar: Sidecar, wanted: Wanted) -> str:
    """Why an engine cannot serve, as a predicate; empty if it can."""
    had, has = sidecar.machine, wanted.machine
    if (sidecar.bundle, sidecar.spec) != (wanted.bundle, wanted.spec):
        return "is of another bundle or was built for something else"
    if (had.gpu, had.capability) != (has.gpu, has.capability):
        return f"was built for {described(had)}, this is {described(has)}"
    if had.processors != has.processors:
        return f"was built for {described(had)} with {had.processors} multiprocessors, this one has {has.processors}"
    if (had.provider, had.provider_version) != (has.provider, has.provider_version):
        return f"was built with {had.provider} {had.provider_version}, this is {has.provider} {has.provider_version}"
    if had.driver != has.driver:
        return f"was built under a driver of CUDA {version(had.driver)}, this is {version(has.driver)}"
    if sidecar.builder != BUILDER:
        return "was built by another coke-edge, which made other engines"
    return ""


def absence(wanted: Wanted) -> str:
    """Why there is no such file: whether the same thing was built for another machine."""
    for other in sidecars_of(wanted.bundle, wanted.folder):
        if other.spec == wanted.spec and (reason := misfit(other, wanted)):
            return f"the engine in {wanted.folder} {reason}"
    return f"there is none in {wanted.folder}"


def sidecars_of(bundle: str, within: Path | None = None) -> list[Sidecar]:
    """The sidecars of all engines of a bundle (its sha256) in a folder (the cache's if None), newest first."""
    paths = (within or folder()).glob(f"*.engine{sidecars.SUFFIX}")
    known = (sidecars.read(path.with_name(path.name.removesuffix(sidecars.SUFFIX))) for path in paths)
    of_bundle = [sidecar for sidecar in known if sidecar and sidecar.bundle == bundle]
    return sorted(of_bundle, key=lambda sidecar: sidecar.created, reverse=True)


@contextlib.contextmanager
def building(wanted: Wanted) -> Iterator[None]:
    """Nobody else builds the same engine meanwhile: a second process waits, and then finds it.

    The lock falls with the process that holds it. Raises BackendError if the folder cannot be written.
    """
    path = wanted.path
    lock = path.with_name(f".{path.stem}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise BackendError(f"cannot write to the engine cache {lock.parent}: {error.strerror}") from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class TimingFile:
    """The builder's measurements on one GPU with one version, kept beside the engines."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self.path = folder / f"{slug(machine.gpu)}-{machine.provider}-{machine.provider_version}.timing"

    def read(self) -> bytes:
        """The measurements so far; empty if there are none."""
        try:
            return self.path.read_bytes()
        except OSError:
            return b""

    def write(self, content: bytes) -> None:
        """Put others in their place. Raises BackendError if the disk refuses."""
        with replacing(self.path, BackendError) as file:
            file.write(content)


def slug(name: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "engine"


def described(machine: Machine) -> str:
    """A GPU for people."""
    capability = f"compute capability {machine.capability / 10:.1f}"
    return f"{machine.gpu} ({capability})" if machine.gpu else capability


def version(cuda: int) -> str:
    """12060 → 12.6."""
    return f"{cuda // 1000}.{cuda % 1000 // 10}"

"""What is known of an engine file: JSON beside it, so that the engine itself stays what every TensorRT tool reads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from coke_edge.engine.inspection import Layers
from coke_edge.engine.spec import EngineSpec
from coke_edge.errors import BackendError
from coke_edge.files import replacing

SCHEMA_VERSION = 1
BUILDER = 1  # raised whenever coke-edge would build another engine of the same graph
SUFFIX = ".json"


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an engine runs."""

    gpu: str  # its name; empty for an engine of TensorRT for RTX, which runs on every GPU of its capability
    capability: int  # 87 is 8.7
    driver: int  # version of CUDA that the driver has: 12060 is 12.6; 0 for TensorRT for RTX
    provider: str
    provider_version: str
    processors: int  # multiprocessors: every Orin has the same name and capability; 0 for TensorRT for RTX


class Sidecar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`NAME.engine.json`."""

    bundle: str  # sha256 of the bundle's file
    name: str  # of the bundle
    machine: Machine
    spec: EngineSpec
    sha256: str  # of the engine
    size: int  # of the engine, bytes
    seconds: float  # that the build took
    workspace: int | None = None  # MiB, the limit that it was built with
    layers: Layers | None = None  # the precision read back; None: no GPU was there, or TensorRT does not tell
    created: str = ""  # ISO 8601, UTC
    builder: int = BUILDER
    schema_version: int = SCHEMA_VERSION


def path_of(engine: Path) -> Path:
    """Where the sidecar of an engine lies."""
    return engine.with_name(engine.name + SUFFIX)


def read(engine: Path) -> Sidecar | None:
    """The sidecar of an engine; None if there is none that this version understands."""
    try:
        return msgspec.json.decode(path_of(engine).read_bytes(), type=Sidecar)
    except (OSError, msgspec.MsgspecError, ValueError):
        return None


def write(engine: Path, content: bytes, sidecar: Sidecar) -> None:
    """Put engine and sidecar in place, both or neither; a power cut between the two is found by `intact`.

    Raises BackendError if the disk refuses.
    """
    with replacing(engine, BackendError) as file, replacing(path_of(engine), BackendError) as note:
        file.write(content)
        note.write(msgspec.json.format(msgspec.json.encode(sidecar), indent=1) + b"\n")


def intact(engine: Path, sidecar: Sidecar) -> bytes | None:
    """The bytes of an engine if they are those that its sidecar describes."""
    try:
        content = engine.read_bytes()
    except OSError:
        return None
    whole = len(content) == sidecar.size and hashlib.sha256(content).hexdigest() == sidecar.sha256
    return content if whole else None

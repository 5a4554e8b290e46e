"""A folder of compiled kernels: binaries, and `kernels.json` that says how each is launched and what it is.

A binary is a cubin, or PTX that a TensorRT plugin takes.

Reading needs neither Triton nor a GPU. Every binary is held against its sha256 before anyone gets it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from .targets import KernelError, of_capability

MANIFEST = "kernels.json"
SCHEMA_VERSION = 1
BUILD = "coke-edge kernels build --targets {targets} --out DIR"  # what adds a target to a folder


@dataclasses.dataclass(frozen=True)
class Parameter:
    """An argument of a launch, in the order of the list."""

    name: str
    type: str  # *fp16, *fp32, *i32, *u8 (pointers), i32, i64, fp32
    multiple_of: int = 1  # promise: the address in bytes, or the number, is a multiple of this


@dataclasses.dataclass(frozen=True)
class Binary:
    """One kernel for one compute capability. The numbers of PTX are those of the machine code that is made of it."""

    name: str  # of the variant, such as match-fp16-nchw-soft
    target: str
    capability: int  # 87 is 8.7; the binary runs on no other
    file: str
    sha256: str
    size: int  # bytes
    symbol: str  # of the entry
    parameters: tuple[Parameter, ...]
    scratch_slots: int  # pointers that follow the parameters; 0 is passed for each
    block: int  # threads of a program, all along x
    shared_memory: int  # dynamic, bytes; above 48 KB the function must be told first
    registers: int  # of a thread
    spills: int  # instructions that move registers to memory or back
    stack: int  # bytes of a thread
    tensor_instructions: dict[str, int]  # name → how often it stands in the machine code
    constants: dict[str, Any]  # compiled in: tile, channels, …; an argument named here is not a parameter
    abi: int  # of the cubin: 7 loads on a CUDA 12 driver, 8 needs CUDA 13; 0 for PTX
    assembler: str  # version of the ptxas that wrote it
    ptx: int = 0  # version of the PTX language, times ten, of a file for a TensorRT plugin; 0 for a cubin


@dataclasses.dataclass(frozen=True)
class Artifact:
    """All binaries of a folder."""

    binaries: tuple[Binary, ...]
    versions: dict[str, str]  # of the compiler
    schema_version: int = SCHEMA_VERSION

    def targets(self) -> list[str]:
        """The targets that there are binaries for, in order."""
        return list(dict.fromkeys(binary.target for binary in self.binaries))

    def find(self, name: str, capability: int, command: str = BUILD) -> Binary:
        """The binary of a variant for a compute capability.

        Raises KernelError that names what is here and the command that adds the rest, to the place where the
        artifact is; `{targets}` in it becomes all targets.
        """
        for binary in self.binaries:
            if binary.name == name and binary.capability == capability:
                return binary
        here = self.targets()
        wanted = ",".join(dict.fromkeys([*here, of_capability(capability).name]))
        raise KernelError(
            f"no kernel {name} for compute capability {capability / 10:.1f}, only for {', '.join(here) or 'none'}: "
            f"build with {command.format(targets=wanted)}"
        )


def write(folder: Path, artifact: Artifact, contents: dict[str, bytes]) -> None:
    """Put the binaries (file name → bytes) and the manifest into `folder`, in place of what was built there before.

    The manifest comes last and at once, so that a folder that was not finished does not look as if it were.
    Raises KernelError if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        for old in [*folder.glob("*.cubin"), *folder.glob("*.ptx")]:
            old.unlink()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        part = folder / f".{MANIFEST}.part"
        part.write_text(to_json(artifact) + "\n")
        os.replace(part, folder / MANIFEST)
    except OSError as error:
        raise KernelError(f"the kernels cannot be written to {folder}: {error.strerror}") from error


def to_json(artifact: Artifact) -> str:
    """The manifest as text, the same for the same binaries."""
    return json.dumps(dataclasses.asdict(artifact), indent=1, sort_keys=True)


def parse(text: str | bytes) -> Artifact:
    """The manifest from its JSON. Raises KernelError if it is not one that this version can read."""
    try:
        plain = json.loads(text)
        if plain["schema_version"] != SCHEMA_VERSION:
            raise KernelError(
                f"{MANIFEST} has schema version {plain['schema_version']}, this coke-edge reads {SCHEMA_VERSION}: "
                "build the kernels again"
            )
        binaries = tuple(
            Binary(**{**fields, "parameters": tuple(Parameter(**p) for p in fields["parameters"])})
            for fields in plain["binaries"]
        )
        return Artifact(binaries, plain["versions"])
    except (ValueError, KeyError, TypeError) as error:
        raise KernelError(f"{MANIFEST} is broken ({error}): build the kernels again") from error


def read(folder: Path) -> Artifact:
    """The manifest of a folder. Raises KernelError if there is none or it is broken."""
    try:
        return parse((folder / MANIFEST).read_bytes())
    except OSError:
        raise KernelError(
            f"there is no {MANIFEST} in {folder}: make one with coke-edge kernels build --out {folder}"
        ) from None


def verified(binary: Binary, content: bytes) -> bytes:
    """The content itself if it is what the manifest says. Raises KernelError otherwise."""
    if len(content) != binary.size or hashlib.sha256(content).hexdigest() != binary.sha256:
        raise KernelError(f"{binary.file} is not the file that {MANIFEST} describes: build the kernels again")
    return content


def load(folder: Path, binary: Binary) -> bytes:
    """The file of a binary, verified. Raises KernelError if it is missing or not what the manifest says."""
    if Path(binary.file).name != binary.file:
        raise KernelError(f"{MANIFEST} names a file outside its folder: {binary.file}")
    try:
        content = (folder / binary.file).read_bytes()
    except OSError:
        raise KernelError(f"{binary.file} is missing in {folder}: build the kernels again") from None
    return verified(binary, content)

"""Cubins without code: ELF files that say of an entry what the driver looks at, written in no time.

Enough for the fake driver, which holds a launch against what they say; a real one would refuse them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path

from coke_edge.kernels import artifact, targets
from coke_edge.kernels.artifact import Artifact, Binary, Parameter
from coke_edge.kernels.variants import Variant, variants

SIZES = {"i32": 4, "fp32": 4}  # bytes; everything else has 8
SCRATCH_SLOTS = 2
EM_CUDA = 190


def cubin(
    symbol: str, types: Sequence[str], block: int = 0, capability: int = 87, abi: int = 7, salt: str = ""
) -> bytes:
    """An entry that takes arguments of these types. `salt` makes two cubins of the same entry differ."""
    offset, info = 0, b""
    for ordinal, kind in enumerate(types):
        size = SIZES.get(kind, 8)
        offset = -(-offset // size) * size
        info += struct.pack("<BBHIHHI", 4, 0x17, 12, 0, ordinal, offset, size << 18 | 0x1F000)
        offset += size
    if block:
        info += struct.pack("<BBHIII", 4, 0x10, 12, block, 1, 1)
    sections = {f".text.{symbol}": salt.encode() or b"\0", f".nv.info.{symbol}": info}
    flags = capability << 8 if abi >= 8 else capability
    return elf(sections, abi, flags)


def elf(sections: dict[str, bytes], abi: int, flags: int) -> bytes:
    """A 64-bit ELF with these sections and a table of their names."""
    names, body, table = b"\0", b"", struct.pack("<IIQQQQIIQQ", *[0] * 10)
    for name, content in [*sections.items(), (".shstrtab", None)]:
        at = len(names)
        names += name.encode() + b"\0"
        content = names if content is None else content
        table += struct.pack("<IIQQQQIIQQ", at, 1, 0, 0, 64 + len(body), len(content), 0, 0, 1, 0)
        body += content
    count = len(sections) + 2
    identity = b"\x7fELF" + bytes([2, 1, 1, 0x33, abi]) + bytes(7)
    header = struct.pack(
        "<HHIQQQIHHHHHH", 2, EM_CUDA, 1, 0, 0, 64 + len(body), flags, 64, 0, 0, 64, count, count - 1
    )
    return identity + header + body + table


def build(folder: Path, names: Sequence[str] = ("orin",), channels: int = 128) -> Artifact:
    """What `coke-edge kernels build` would write for the named targets, without compiling anything."""
    cubins: dict[str, bytes] = {}
    binaries = []
    for name in names:
        target = targets.named(name)
        for variant in variants(target, channels):
            binary, content = fake_binary(variant, target)
            binaries.append(binary)
            cubins[binary.file] = content
    made = Artifact(tuple(binaries), {"triton": "none: cubins without code"})
    artifact.write(folder, made, cubins)
    return made


def fake_binary(variant: Variant, target: targets.Target) -> tuple[Binary, bytes]:
    """A variant's entry in the manifest, and its cubin."""
    parameters = tuple(
        Parameter(name, kind, variant.multiples.get(name, 1)) for name, kind in variant.signature.items()
    )
    types = [*(parameter.type for parameter in parameters), *["*u8"] * SCRATCH_SLOTS]
    abi = 7 if target.capability < 90 else 8
    content = cubin(variant.kernel, types, 32 * variant.warps, target.capability, abi, variant.name)
    binary = Binary(
        name=variant.name,
        target=target.name,
        capability=target.capability,
        file=f"{target.name}-{variant.name}.cubin",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        symbol=variant.kernel,
        parameters=parameters,
        scratch_slots=SCRATCH_SLOTS,
        block=32 * variant.warps,
        shared_memory=64 * 1024 if variant.kernel == "match" else 1024,
        registers=64,
        spills=0,
        stack=0,
        tensor_instructions={},
        constants=variant.constants,
        abi=abi,
        assembler="none",
    )
    return binary, content

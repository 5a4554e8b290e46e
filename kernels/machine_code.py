"""What a compiled kernel really is: read from its PTX and its cubin, with the CUDA tools in Triton's wheel."""

from __future__ import annotations

import collections
import re
import subprocess
from pathlib import Path

from triton import knobs

TENSOR_OPS = ("HMMA", "HGMMA", "UTCHMMA", "UTCQMMA", "IMMA", "QMMA")
SPILLS = ("STL", "LDL")  # stores to and loads from local memory


def parameters(ptx: str) -> list[str]:
    """The types of the entry's parameters in order: u64, u32, f32, …"""
    entry = re.search(r"\.entry\s+\w+\s*\((.*?)\)", ptx, re.DOTALL)
    if entry is None:
        raise ValueError("the PTX has no entry")
    return re.findall(r"\.param\s+\.(\w+)", entry.group(1))


def resources(cubin: Path) -> dict[str, int]:
    """What the kernel takes: REG a thread, STACK and LOCAL bytes a thread, SHARED static bytes, …"""
    text = run(knobs.nvidia.cuobjdump.path, "-res-usage", str(cubin))
    line = next(line for line in text.splitlines() if "REG:" in line)
    return {name: int(value) for name, value in re.findall(r"(\w+):(\d+)", line)}


def instructions(cubin: Path) -> collections.Counter[str]:
    """How often each instruction (its name before the first dot) stands in the machine code."""
    text = run(knobs.nvidia.nvdisasm.path, "-c", str(cubin))
    opcode = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)")
    return collections.Counter(match.group(1) for match in opcode.finditer(text))


def abi(cubin: bytes) -> int:
    """The version of the cubin's ABI: 7 loads on CUDA 12 drivers, 8 needs CUDA 13."""
    if cubin[:4] != b"\x7fELF":
        raise ValueError("not a cubin: no ELF header")
    return cubin[8]


def run(*command: str) -> str:
    """The output of a tool."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout

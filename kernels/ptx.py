"""PTX as a TensorRT plugin needs it: text that the driver of the device makes machine code of."""

from __future__ import annotations

import re

from .targets import KernelError, Target

# A version of the PTX language, times ten → the first CUDA version whose driver reads it.
DRIVERS = {80: 12000, 86: 12070, 87: 12080, 88: 12090, 90: 13000}
# Compute capability → the oldest version of the language that knows it; 8.0 for all before.
OLDEST = {100: 86, 110: 90, 120: 87, 121: 88}

ENTRY = re.compile(r"(?<=\.entry)\s+(\w+)\s*\((.*?)\)", re.DOTALL)


def version_for(target: Target) -> int:
    """The oldest version of PTX that a target can be written in, times ten: the most drivers read it."""
    return OLDEST.get(target.capability, min(DRIVERS))


def with_first_parameters(ptx: str, count: int) -> str:
    """PTX whose only entry takes its first `count` parameters. Raises KernelError if it reads one of the others."""
    entries = ENTRY.findall(ptx)
    if len(entries) != 1:
        raise KernelError(f"the PTX has {len(entries)} entries, not one")
    ((symbol, listed),) = entries
    parameters = [text.strip() for text in listed.split(",")]
    for parameter in parameters[count:]:
        name = parameter.split()[-1]
        if len(re.findall(rf"\b{re.escape(name)}\b", ptx)) > 1:
            raise KernelError(f"{symbol} reads {name}, which a plugin cannot give it")
    kept = ",\n".join(f"\t{parameter}" for parameter in parameters[:count])
    return ENTRY.sub(lambda _: f" {symbol}(\n{kept}\n)", ptx, count=1)

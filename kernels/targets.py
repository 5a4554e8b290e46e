"""The GPUs that kernels are compiled for ahead of time, and what each can do."""

from __future__ import annotations

import dataclasses


class KernelError(Exception):
    """A kernel cannot be compiled, found or launched: one sentence that says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Target:
    """One exact compute capability: binaries of one do not run on another."""

    name: str
    capability: int  # 87 is 8.7
    shared_memory: int  # bytes that a block may have, opting in
    tensor_op: str  # the tensor-core instruction of its machine code
    triton: tuple[int, int] = (3, 6)  # the first version that compiles for it


KIB = 1024
TARGETS = {
    target.name: target
    for target in (
        Target("a100", 80, 163 * KIB, "HMMA"),
        Target("rtx30", 86, 99 * KIB, "HMMA"),
        Target("orin", 87, 163 * KIB, "HMMA"),
        Target("rtx40", 89, 99 * KIB, "HMMA"),
        Target("l4", 89, 99 * KIB, "HMMA"),
        Target("h100", 90, 227 * KIB, "HGMMA"),
        Target("b200", 100, 227 * KIB, "UTCHMMA"),
        Target("thor", 110, 227 * KIB, "UTCHMMA", triton=(3, 7)),
        Target("rtx50", 120, 99 * KIB, "HMMA"),
        Target("spark", 121, 99 * KIB, "HMMA"),
    )
}


def named(name: str) -> Target:
    """The target of that name. Raises KernelError if there is none."""
    try:
        return TARGETS[name]
    except KeyError:
        raise KernelError(f"there is no target {name!r}; choose from {', '.join(TARGETS)}") from None


def of_capability(capability: int) -> Target:
    """The target of a compute capability (87 for 8.7). Raises KernelError if there is none."""
    for target in TARGETS.values():
        if target.capability == capability:
            return target
    known = ", ".join(f"{t.capability / 10:.1f} ({t.name})" for t in TARGETS.values())
    raise KernelError(f"no kernels for compute capability {capability / 10:.1f}; there are some for {known}")

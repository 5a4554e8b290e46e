"""`peaks` with the arguments of a TensorRT plugin, in its order: pointers to inputs, int32, pointers to outputs.

A plugin must not write to its inputs, so the scores are an output beside the similarities, which nobody reads.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803
# Kernels are Triton's language: arguments have no Python type, and those compiled in are in capitals.

from __future__ import annotations

import triton
import triton.language as tl

from .peaks import peaks


@triton.jit
def plugin_peaks(
    similarity,  # float32 [B, K, P]
    response,  # float32 [T, B, P]
    mass,  # float32 [T, B, P]
    settings,  # float32 [3] τ, 1/τ, w
    height,  # H
    width,  # W
    parts,  # T, 0 without clutter
    count,  # M
    rule,  # index in packed.RULES
    packed,  # out: int32 [B, K, M, 13]
    score,  # out: float32 [B, K, P], scratch
    candidates,  # out: float32 [B, K, P], scratch
    BLOCK: tl.constexpr,
):
    peaks(
        similarity, response, mass, score, candidates, packed, height, width, parts, count, rule,
        tl.load(settings), tl.load(settings + 2), BLOCK, True,
    )  # fmt: skip

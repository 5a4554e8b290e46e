"""The kernels as an operator of torch: inside torch.compile without a break, and inside a CUDA graph."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Iterator

import torch

from coke_edge.benchmarks.gpu_check.cases import Case, problem
from coke_edge.benchmarks.gpu_check.matching import fused_match, same_bits
from coke_edge.benchmarks.gpu_check.rows import SKIPPED, Options, Row, broken, checked, row
from coke_edge.kernels.torch_reference import Peaks

CASES = (
    Case((1, 128, 32, 32, 16, 2560), "fp16"),
    Case((2, 128, 16, 24, 16, 300), "bf16", "log_odds", True, 5, "nhwc"),
)
SMALL_CASES = (Case((1, 32, 4, 5, 3, 70), "fp32", "log_odds", True, 2),)


def rows(options: Options) -> Iterator[Row]:
    """Each must give the bits of the plain call."""
    for case in SMALL_CASES if options.small else CASES:
        try:
            yield under_compile(case, options)
        except Exception as error:
            yield broken(f"torch.compile {case.name}", error)
        try:
            yield in_a_graph(case, options)
        except Exception as error:
            yield broken(f"CUDA graph {case.name}", error)


def under_compile(case: Case, options: Options) -> Row:
    """Compiled as one graph of torch's, with arithmetic around the operator."""
    given = problem(case, options.torch_device)

    def step(scale: float) -> Peaks:
        found = fused_match(given, case)
        return found._replace(similarity=found.similarity * scale)

    # Without a GPU the tracing alone is at stake, not what inductor makes of it.
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager" if options.small else "inductor")
    same = all(same_bits(a, b) for a, b in zip(compiled(2.0), step(2.0), strict=True))
    return checked(f"torch.compile {case.name}", same, same_bits=same)


def in_a_graph(case: Case, options: Options) -> Row:
    """Captured once, replayed on other features in the same memory."""
    name = f"CUDA graph {case.name}"
    if options.small:
        return row(name, SKIPPED, reason="a CUDA graph needs a GPU")
    given = problem(case, options.torch_device)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        fused_match(given, case)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = fused_match(given, case)
    given.features.copy_(given.features.flip(2))
    graph.replay()
    torch.cuda.synchronize()
    plain = fused_match(given, case)
    same = all(same_bits(a, b) for a, b in zip(captured, plain, strict=True))
    return checked(name, same, same_bits=same)

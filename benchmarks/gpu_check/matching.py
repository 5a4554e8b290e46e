"""The kernels of the head, compiled at first use, against the definition: one dtype over all cases."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

from coke_edge.benchmarks.definition import exact_maps
from coke_edge.benchmarks.forms import plain_maps
from coke_edge.benchmarks.gpu_check.agreement import agreement
from coke_edge.benchmarks.gpu_check.cases import EQUAL, Case, Problem, cases, problem
from coke_edge.benchmarks.gpu_check.rows import SKIPPED, Options, Row, broken, checked, row
from coke_edge.kernels import fused
from coke_edge.kernels.torch_reference import Peaks

TOLERANCE = 2e-5  # float32 sums of up to 512 products, in whatever order tensor cores take them
ERROR_RATIO = 2.0  # to that of plain torch in the same dtype
RATIO_SHAPES = ((1, 128, 32, 32, 16, 2560), (1, 64, 32, 32, 16, 2560), (2, 256, 32, 32, 16, 256))
SMALL_RATIO_SHAPES = ((1, 64, 6, 6, 4, 100),)

Match = Callable[[Problem, Case], Peaks]


def rows(options: Options, dtype: str, match: Match | None = None) -> Iterator[Row]:
    """A row a case, then the ratio of errors; `match` is what is checked, the torch face of the kernels if None."""
    if dtype == "bf16" and options.small and match is None:
        yield row(
            "bf16", SKIPPED, reason="Triton's interpreter multiplies the bits of bfloat16, not the numbers"
        )
        return
    for case in cases(dtype, options.small):
        try:
            yield one(case, options.torch_device, match or fused_match)
        except Exception as error:
            yield broken(case.name, error)
    if dtype != "fp32":
        for shape in SMALL_RATIO_SHAPES if options.small else RATIO_SHAPES:
            for case in (Case(shape, dtype), Case(shape, dtype, "log_odds", True)):
                try:
                    yield ratio_of_errors(case, options.torch_device)
                except Exception as error:
                    yield broken(f"error ratio {case.name}", error)


def fused_match(given: Problem, case: Case) -> Peaks:
    banks = given.prototypes, given.clutter
    return fused.match(given.features, *banks, case.head, given.counts, case.soft)


def one(case: Case, device: str, match: Match) -> Row:
    """Right within rounding, every output written, and the same bits again."""
    given = problem(case, device)
    with poisoned_memory():
        found = match(given, case)
        again = match(given, case)
    exact = exact_maps(given.features, given.prototypes, given.clutter, given.counts, case.head)
    # Of equal cells the right one has to be found, though a root of 1 on a GPU may be 1 in all but the last bit.
    ties = 0.0 if case.special in EQUAL else TOLERANCE
    result = agreement(found, exact, case.head, case.soft, ties)
    repeats = all(same_bits(a, b) for a, b in zip(found, again, strict=True))
    return checked(
        case.name,
        result.within(TOLERANCE) and repeats,
        error=result.error,
        near_ties=result.near_ties,
        wrong=result.wrong,
        same_bits=repeats,
    )


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.contiguous().view(torch.int32), b.contiguous().view(torch.int32))


@contextlib.contextmanager
def poisoned_memory() -> Iterator[None]:
    """Memory that torch hands out holds NaN (or the largest integer), so that what is not written shows."""
    # `torch.utils.deterministic.fill_uninitialized_memory`, which this needs, is on unless someone turned it off.
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def ratio_of_errors(case: Case, device: str) -> Row:
    """Largest error of q against float64, over that of plain torch in the same dtype."""
    given = problem(case, device)
    banks = given.prototypes, given.clutter
    exact = exact_maps(given.features, *banks, torch.ones_like(given.counts), case.head).score
    found = fused.score_maps(given.features, *banks, case.head).score
    plain = plain_maps(given.features, *banks, case.soft)[0].view_as(found)
    ours, theirs = (float((score.double() - exact).abs().max()) for score in (found, plain))
    return checked(
        f"error ratio {case.name}",
        ours <= ERROR_RATIO * theirs,
        error=ours,
        plain_error=theirs,
        ratio=ours / theirs if theirs else float("inf"),
    )

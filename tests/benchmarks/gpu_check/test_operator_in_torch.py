"""The operator in torch, in the interpreter."""

from __future__ import annotations

import pytest

from coke_edge.benchmarks.gpu_check import operator_in_torch
from coke_edge.benchmarks.gpu_check.rows import PASSED, SKIPPED, Options

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, on NaN, in the interpreter

SMALL = Options(device="interpreter")


def test_the_operator_passes() -> None:
    found = list(operator_in_torch.rows(SMALL))
    assert [one["status"] for one in found] == [PASSED, SKIPPED]

"""A few small problems through the kernels, for compute-sanitizer to watch: `python -m …gpu_check.exercise`.

They have ends that no block divides, since that is where a kernel may leave its bounds.
"""

from __future__ import annotations

import sys

from coke_edge.benchmarks.gpu_check.cases import Case
from coke_edge.benchmarks.gpu_check.matching import fused_match, one
from coke_edge.benchmarks.gpu_check.rows import PASSED

CASES = (
    Case((2, 64, 9, 13, 5, 203), "fp16", "log_odds", True, 3, "nhwc"),
    Case((1, 72, 11, 7, 19, 70), "fp16", "margin", False, 1),
)


def main(device: str = "cuda") -> int:
    """0 if all are right."""
    found = [one(case, device, fused_match) for case in CASES]
    wrong = [row for row in found if row["status"] != PASSED]
    print(f"exercised {len(found)} cases, wrong: {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

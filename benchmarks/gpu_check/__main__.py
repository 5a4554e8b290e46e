"""`python -m coke_edge.benchmarks.gpu_check --out DIR [--kernels DIR] [--tune] [--only NAME …] [--seconds N]`.

From the root of a checkout, nothing need be installed but torch, Triton and numpy. Writes gpu-check.json and
gpu-check.md into DIR after every row, gpu-check.log with what the sections printed and, if tuned, tiles.json.
Exit status: 0 all right, 1 something is wrong, 2 there is no GPU or the arguments cannot be used.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from coke_edge.benchmarks.gpu_check.check import check
from coke_edge.benchmarks.gpu_check.rows import Options
from coke_edge.benchmarks.gpu_check.sections import SECTIONS
from coke_edge.errors import CokeError


def main(arguments: list[str] | None = None) -> int:
    """Check, and print the markdown report."""
    names = [section.name for section in SECTIONS]
    parser = argparse.ArgumentParser(
        prog="python -m coke_edge.benchmarks.gpu_check",
        description="Check the kernels on this machine's GPU: correctness, binaries, speed.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the report")
    parser.add_argument("--kernels", type=Path, help="folder of binaries to check, beside those built here")
    parser.add_argument("--tune", action="store_true", help="also measure which tiles are best")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--seconds", type=float, default=450.0, help="for everything together")
    parser.add_argument(
        "--jobs", type=int, default=max(1, min(5, (os.cpu_count() or 1) // 2)), help="sections side by side"
    )
    parser.add_argument(
        "--device",
        choices=("cuda", "interpreter"),
        default="cuda",
        help="interpreter: small sizes on the CPU, to try the check itself",
    )
    given = parser.parse_args(arguments)
    chosen = [s for s in SECTIONS if s.name in (given.only or names)]
    chosen = [s for s in chosen if not s.asked_for or given.tune or given.only]
    options = Options(given.device, None if given.kernels is None else str(given.kernels.resolve()))
    try:
        return check(chosen, options, given.out, given.seconds, given.jobs)
    except CokeError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())

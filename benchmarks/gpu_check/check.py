"""The check as a whole: the environment first, what is not timed side by side, then what is timed alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from coke_edge.benchmarks.gpu_check.process import section_rows
from coke_edge.benchmarks.gpu_check.report import Report
from coke_edge.benchmarks.gpu_check.rows import CUT, Options, Row, broken, row
from coke_edge.benchmarks.gpu_check.sections import SECTIONS, Section
from coke_edge.benchmarks.gpu_check.surroundings import GPU

NO_GPU = (
    "There is no NVIDIA GPU that torch can use here, so nothing was checked (gpu-check.log holds what went wrong, "
    "if anything did); --device interpreter tries the check itself on the CPU."
)
LEAST = 5.0  # seconds: with less left a section is not begun

Runner = Callable[[Section, Options, float, Path], Iterator[Row]]


def check(
    sections: Sequence[Section],
    options: Options,
    folder: Path,
    seconds: float,
    jobs: int = 4,
    run: Runner = section_rows,
) -> int:
    """Run the sections and report into `folder`; at most `seconds` for all of them, `jobs` at a time.

    0 if nothing failed, 1 if something did, 2 if there is no GPU. Raises CokeError if the report cannot be written.
    """
    environment, *others = dict.fromkeys([SECTIONS[0], *sections])
    report = Report(folder, [section.name for section in (environment, *others)])
    end = time.monotonic() + seconds

    def one(section: Section) -> None:
        left = min(section.seconds, end - time.monotonic())
        if left < LEAST and section is not environment:
            report.add(section.name, row("time", CUT, reason="no time was left for this section"))
            return
        start = time.monotonic()
        try:
            for found in run(section, options, max(left, LEAST), report.log):
                report.add(section.name, found)
        except OSError as error:  # the process cannot be started
            report.add(section.name, broken("process", error))
        report.done(section.name, time.monotonic() - start)
        print(f"{section.name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)

    one(environment)
    if not options.small and not gpu_found(report, environment.name):
        print(NO_GPU, file=sys.stderr)
        return 2
    with ThreadPoolExecutor(jobs) as pool:
        side_by_side = [section for section in others if not section.timed]
        list(pool.map(one, sorted(side_by_side, key=lambda section: -section.seconds)))  # the longest first
    for section in others:
        if section.timed:
            one(section)
    print(report.markdown())
    print(f"\nWrote {folder}")
    return 1 if report.failed else 0


def gpu_found(report: Report, section: str) -> bool:
    return any(found["name"] == GPU and found.get("found") for found in report.rows(section))

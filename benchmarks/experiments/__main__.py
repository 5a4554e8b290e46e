"""`python -m coke_edge.benchmarks.experiments run | document | pictures`: results that anyone can make again."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from coke_edge.benchmarks.experiments.cache import Cache
from coke_edge.benchmarks.experiments.declared import declared
from coke_edge.benchmarks.experiments.definition import Run
from coke_edge.benchmarks.experiments.places import places
from coke_edge.errors import CokeError
from coke_edge.files import replacing

CACHE, PUBLISHED = Path("out/experiments"), Path("benchmarks/results/experiments")
PAGE = Path("docs/results.md")
SOME_FAILED = DIFFERS = 1


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 if all went well, 1 if a run failed, 130 after Ctrl-C."""
    given = parser().parse_args(arguments)
    try:
        status: int = given.command(given)
    except CokeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return status


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m coke_edge.benchmarks.experiments", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run", help="train and measure what is not done yet; Ctrl-C keeps what was begun"
    )
    run.add_argument(
        "--only",
        action="append",
        metavar="PATTERN",
        help="runs whose name fits, e.g. lsp/* or */coke-seed0; a group, e.g. lsp; may be given again",
    )
    run.add_argument("--list", action="store_true", help="say what is done and what is not, and run nothing")
    run.add_argument(
        "--retest", action="store_true", help="measure again what is done, without training again"
    )
    run.add_argument(
        "--data",
        default=os.environ.get("COKE_EDGE_DATA"),
        help="folder that holds all data sets ($COKE_EDGE_DATA)",
    )
    run.add_argument("--cache", type=Path, default=CACHE, help="folder of trainings and results")
    run.add_argument(
        "--results",
        type=Path,
        default=PUBLISHED,
        help="folder of committed results; each new one is put there, too",
    )
    run.set_defaults(command=run_command)
    page = commands.add_parser(
        "document", help="docs/results.md from the committed results; never edit the page"
    )
    page.add_argument("--check", action="store_true", help="write nothing; exit status 1 if the page differs")
    page.add_argument("--results", type=Path, default=PUBLISHED, help="folder of committed results")
    page.add_argument("--out", type=Path, default=PAGE, help="the page")
    page.set_defaults(command=document_command)
    pictures = commands.add_parser("pictures", help="contact sheets of a finished run's best and worst cases")
    pictures.add_argument("run", help="a run, e.g. lsp/coke-seed0")
    pictures.add_argument("--levels", default="L0,L3", help="levels of occlusion")
    pictures.add_argument("--limit", type=int, help="only the first so many objects")
    pictures.add_argument(
        "--data", default=os.environ.get("COKE_EDGE_DATA"), help="folder that holds all data sets"
    )
    pictures.add_argument("--cache", type=Path, default=CACHE, help="folder of trainings and results")
    pictures.add_argument("--out", type=Path, help="folder for the pictures; default CACHE/pictures/RUN")
    pictures.set_defaults(command=pictures_command)
    return top


def run_command(given: argparse.Namespace) -> int:
    """Run, or list."""
    chosen = choose(declared(), given.only)
    cache = Cache(given.cache)
    if given.list:
        from coke_edge.benchmarks.experiments.listing import listing
        from coke_edge.benchmarks.experiments.measure import machine

        print("\n".join(listing(chosen, cache, (cache.results, given.results), machine())))
        return 0
    from coke_edge.benchmarks.experiments.runner import Runner

    say = partial(print, file=sys.stderr, flush=True)
    failed = Runner(cache, places(given.data, given.cache), given.results, say, retest=given.retest).run_all(
        chosen
    )
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return SOME_FAILED if failed else 0


def document_command(given: argparse.Namespace) -> int:
    """Write the page, or with --check only say whether it is what the results give."""
    from coke_edge.benchmarks.experiments.page import document

    text = document(given.results, declared())
    if not given.check:
        with replacing(given.out) as file:
            file.write(text.encode())
        return 0
    if given.out.is_file() and given.out.read_text(encoding="utf-8") == text:
        return 0
    print(f"{given.out} is not what {given.results} gives: run make benchmark-docs", file=sys.stderr)
    return DIFFERS


def pictures_command(given: argparse.Namespace) -> int:
    """Draw."""
    from coke_edge.benchmarks.experiments.pictures import write_pictures
    from coke_edge.train.occlusion_levels import parse_levels

    (run, *_) = choose(declared(), [given.run])
    out = given.out or given.cache / "pictures" / run.key
    folder = Cache(given.cache).place(run) / "run"
    levels = parse_levels(given.levels)
    for path in write_pictures(run, places(given.data, given.cache), folder, out, levels, given.limit):
        print(path)
    return 0


def choose(runs: Sequence[Run], patterns: Sequence[str] | None) -> list[Run]:
    """The runs that fit one of the patterns, in their order. Raises CokeError if a pattern fits none."""
    if not patterns:
        return list(runs)
    for pattern in patterns:
        if not any(fits(run, pattern) for run in runs):
            groups = ", ".join(dict.fromkeys(run.group for run in runs))
            raise CokeError(f"no run is called {pattern!r}: the groups are {groups}; --list names all runs")
    return [run for run in runs if any(fits(run, pattern) for pattern in patterns)]


def fits(run: Run, pattern: str) -> bool:
    return pattern == run.group or fnmatchcase(run.key, pattern)


if __name__ == "__main__":
    sys.exit(main())

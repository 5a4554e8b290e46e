"""`python -m coke_edge.benchmarks.peers --data lsp:FOLDER --out FILE.json`: the race against peers on this machine.

On the same images and threads, in one run: MediaPipe's BlazePose, Google's MoveNet and YOLO's pose networks beside our
bundles; latency from frame to keypoints, and PCK. `make bench-peers` prepares what it needs.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from coke_edge.benchmarks.bench.result import write_result
from coke_edge.benchmarks.peers.cold import first_results
from coke_edge.benchmarks.peers.line_up import PEERS, line_up
from coke_edge.benchmarks.peers.race import Course, race
from coke_edge.benchmarks.peers.table import remarks, tables
from coke_edge.errors import CokeError
from coke_edge.train.data import load_dataset

MODULE = "python -m coke_edge.benchmarks.peers"
WIDTH = 150


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options. Raises CokeError for numbers that mean nothing."""
    parser = argparse.ArgumentParser(prog=MODULE, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="people with labelled joints, as in lsp:FOLDER")
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON file for the result with its raw samples"
    )
    parser.add_argument("--ours", nargs="+", default=["demo"], metavar="BUNDLE", help="bundles, or demo")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, help="which of them take part")
    parser.add_argument("--folder", type=Path, default=Path("out/peers/models"), help="where their files are")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads to compare"
    )
    parser.add_argument("--seconds", type=float, default=Course.seconds, help="for every row, at least")
    parser.add_argument("--limit", type=int, help="measure accuracy on so many persons only")
    parser.add_argument(
        "--cold", type=int, default=3, help="fresh processes to time the first result of; 0: none"
    )
    parsed = parser.parse_args(arguments)
    if not parsed.seconds > 0 or min(parsed.threads) < 1 or (parsed.limit is not None and parsed.limit < 1):
        raise CokeError("--seconds, --threads and --limit take numbers above 0")
    if parsed.cold < 0:
        raise CokeError("--cold takes 0 or more")
    return parsed


def run(arguments: Sequence[str]) -> None:
    """Race, print the tables, and write the result."""
    options = parse(arguments)
    dataset = load_dataset(options.data, "test")
    if options.limit:
        dataset = dataclasses.replace(dataset, samples=dataset.samples[: options.limit])
    entries = line_up(options.ours, options.peers, options.folder, options.threads)
    screen, console = Console(stderr=True), Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    command = shlex.join([*MODULE.split(), *arguments])
    with screen.status("") as status:
        first = first_results(entries, options.cold, status.update)
        contestants = [entry.load() for entry in entries]
        course = Course(seconds=options.seconds)
        result = race(contestants, dataset, course, command, status.update, first)
    write_result(result, options.out)
    for table in tables(result):
        console.print(table)
    for remark in remarks(result):
        console.print(f"[dim]{remark}[/dim]")
    console.print(f"Wrote {options.out}")


def main() -> None:
    """The command; a CokeError is its one sentence and its exit code."""
    try:
        run(sys.argv[1:])
    except CokeError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()

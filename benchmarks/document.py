"""`docs/benchmarks.md` from the committed results: `python -m coke_edge.benchmarks.document [--check]`.

Run from the root of a checkout. Every JSON file in benchmarks/results/ gets its part; one that no reader here knows
is an error, so that none is left out in silence. The words between the tables are report/document.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from coke_edge.benchmarks.bench.result import Machine, Result, read_result
from coke_edge.benchmarks.report.in_markdown import heading, machine_part, plain, result_part
from coke_edge.benchmarks.report.other_results import gpu_check_part, head_part, is_gpu_check, is_head
from coke_edge.benchmarks.report.race import race_table
from coke_edge.errors import CokeError
from coke_edge.files import replacing

RESULTS, PAGE = Path("benchmarks/results"), Path("docs/benchmarks.md")
MADE_BY = {
    "bench": "`make bench`",
    "peers": "`make bench-peers`",
    "head": "`make bench-head`",
    "gpu-check": "`make gpu-check`",
}
DIFFERS = 1  # exit status of --check


def document(results: Path, page: Path) -> str:
    """The page; `page` is where it will stand, from where its links to `results` start.

    Raises CokeError if a file there cannot be read, or is of no known kind.
    """
    if not results.is_dir():
        raise CokeError(
            f"there is no folder {results}: run this from the root of a checkout, or name it with --results"
        )
    runs: dict[str, list[tuple[str, Result]]] = {"bench": [], "peers": []}
    parts: dict[str, list[str]] = {kind: [] for kind in MADE_BY}
    for path in sorted(results.glob("*.json")):
        link = linked(path, page)
        content = read(path)
        if "schema" in content and "rows" in content:
            result = read_result(path)
            runs[result.kind].append((link, result))
        elif is_gpu_check(content):
            parts["gpu-check"].append(gpu_check_part(content, link))
        elif is_head(content):
            parts["head"].append(head_part(content, link))
        else:
            raise CokeError(
                f"{path} is no result that {Path(__file__).name} knows: add a reader for its shape there"
            )
    for kind, found in runs.items():
        parts[kind] = by_machine(found)
    return filled(template(), parts)


def by_machine(runs: list[tuple[str, Result]]) -> list[str]:
    """The machines, each with all of its results, oldest first."""
    machines: dict[tuple[Any, ...], list[tuple[str, Result]]] = {}
    for link, result in sorted(runs, key=lambda run: (run[1].taken, run[0])):
        machines.setdefault(identity(result.machine), []).append((link, result))
    parts = []
    for found in machines.values():
        machine = found[0][1].machine
        parts.append("\n\n".join([f"### {heading(machine)}", machine_part(machine)]))
        for link, result in found:
            parts += [race_table(result)] if result.kind == "peers" else []
            parts.append(result_part(result, link))
    return parts


def identity(machine: Machine) -> tuple[Any, ...]:
    """What two results of the same machine agree in."""
    return machine.name, machine.processor, machine.vnni, machine.cores, machine.gpu, machine.power_mode


def filled(text: str, parts: Mapping[str, list[str]]) -> str:
    """The template with each `{{kind}}` replaced by its parts, or by how to get one."""

    def part(match: re.Match[str]) -> str:
        kind = match[1]
        return "\n\n".join(parts[kind]) or f"No result is committed yet; {MADE_BY[kind]} makes one."

    return re.sub(r"\{\{([a-z-]+)\}\}", part, text)


def template() -> str:
    return resources.files("coke_edge.benchmarks.report").joinpath("document.md").read_text(encoding="utf-8")


def linked(path: Path, page: Path) -> str:
    """A markdown link from the page to a file."""
    target = os.path.relpath(path, page.parent).replace(os.sep, "/")
    return f"[{plain(path.name)}]({quote(target)})"


def read(path: Path) -> dict[str, Any]:
    """A JSON object. Raises CokeError if it is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CokeError(f"cannot read {path}: {error}") from None
    if not isinstance(content, dict):
        raise CokeError(f"{path} holds no JSON object, so it is no result: remove it")
    return content


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with --check only say whether it is what the results give."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit status 1 if the page differs"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of JSON files")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    given = parser.parse_args(arguments)
    try:
        text = document(given.results, given.out)
        if given.check:
            if given.out.is_file() and given.out.read_text(encoding="utf-8") == text:
                return 0
            print(f"{given.out} is not what {given.results} gives: run make benchmark-docs", file=sys.stderr)
            return DIFFERS
        with replacing(given.out) as file:
            file.write(text.encode())
    except CokeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""All results of a folder, sorted by the declared rows that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from coke_edge.benchmarks.experiments.definition import Run, same_run
from coke_edge.benchmarks.experiments.figures import Figure, Spread, spread
from coke_edge.benchmarks.experiments.result import Level, Result, read_result

Key = tuple[str, str]  # group, name


class Cell(NamedTuple):
    """A row: what is there of the seeds that are declared."""

    results: list[Result]
    declared: int

    def spread(self, figure: Figure, level: str, part: str = "") -> Spread | None:
        """One figure at one level over the seeds; None if no seed has it."""
        return self.over(lambda result: of(figure, result.figures.get(part, {}).get(level)))

    def over(self, value: Callable[[Result], float | None]) -> Spread | None:
        """Any number of a result over the seeds."""
        return spread(value(result) for result in self.results)

    @property
    def complete(self) -> bool:
        """Whether all seeds are there."""
        return len(self.results) == self.declared

    @property
    def seeds(self) -> str:
        """How many seeds there are."""
        return f"{len(self.results)} of {self.declared}"


class Collection(NamedTuple):
    """What a page is made of."""

    cells: dict[Key, Cell]  # of all declared rows, also of those without a result
    strangers: list[str]  # files that no declared run gives: of an earlier definition, or of none

    @property
    def results(self) -> list[Result]:
        return [result for cell in self.cells.values() for result in cell.results]


def collect(folder: Path, runs: Sequence[Run]) -> Collection:
    """The results in `folder` by row. Raises CokeError for a file that is no result."""
    by_file = {run.file: run for run in runs}
    found: dict[str, Result] = {}
    strangers = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        result, run = read_result(path), by_file.get(path.name)
        if run is not None and same_run(result.run, run):
            found[path.name] = result
        else:
            strangers.append(path.name)
    cells = {key: Cell([], 0) for key in dict.fromkeys((run.group, run.name) for run in runs)}
    for run in runs:
        cell = cells[run.group, run.name]
        own = [found[run.file]] if run.file in found else []
        cells[run.group, run.name] = Cell(cell.results + own, cell.declared + 1)
    return Collection(cells, strangers)


def of(figure: Figure, level: Level | None) -> float | None:
    return None if level is None else figure(level)

"""What is to be measured: the options of a run, and the rows that they amount to."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Literal, cast, get_args

from coke_edge.benchmarks.bench.frames import GENERATED
from coke_edge.benchmarks.bench.result import Mode
from coke_edge.benchmarks.bench.steady import Rule
from coke_edge.errors import CokeError

MODES = cast("tuple[Mode, ...]", get_args(Mode))


@dataclasses.dataclass(frozen=True)
class Settings:
    """The options of one run; what is empty is left to what is at hand."""

    model: str  # bundle, demo, or a checkpoint
    backends: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    batches: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = (0,)
    modes: tuple[Mode, ...] = MODES
    fps: float = 30.0  # of paced rows
    seconds: float = 5.0  # of every row, at least
    source: str = GENERATED
    data: str | None = None  # data set that accuracy is measured on
    split: Literal["train", "val", "test"] = "test"
    limit: int | None = None  # objects of it
    cold: int = 5  # processes that are started for the first result
    rule: Rule = dataclasses.field(default_factory=Rule)
    slices: int = (
        16  # stretches that a row is measured in: many short ones, as the machine's mood is what differs
    )
    least: int = 10  # samples of a stretch, at least

    def __post_init__(self) -> None:
        if min(self.batches, default=0) < 1 or min(self.threads, default=-1) < 0:
            raise CokeError("--batches takes numbers of 1 or more and --threads of 0 or more, as in 1,4")
        if not self.modes:
            raise CokeError("--modes takes back-to-back, paced or both, with a comma between")
        if not self.seconds > 0:
            raise CokeError("--seconds must be above 0")
        if not self.fps >= 1:
            raise CokeError(
                "--fps takes 1 frame per second or more: a slower camera leaves nothing to measure with"
            )


@dataclasses.dataclass(frozen=True)
class Artefact:
    """What is loaded once and measured in several ways."""

    backend: str
    precision: str
    threads: int


@dataclasses.dataclass(frozen=True)
class Setting:
    """One row of the result."""

    artefact: Artefact
    batch: int
    mode: Mode

    def words(self) -> str:
        """For progress bars and sentences."""
        a = self.artefact
        return (
            f"{a.backend} {a.precision}, batch {self.batch}, {a.threads or 'automatic'} threads, {self.mode}"
        )


def rows(settings: Settings, pairs: list[tuple[str, str]]) -> list[Setting]:
    """Every row for these pairs of backend and precision, those that run back to back first.

    Only ONNX Runtime lets its threads be set: other backends get one row for all numbers of them.
    """
    found = []
    for mode in sorted(set(settings.modes), key=MODES.index):
        for (backend, precision), batch in itertools.product(pairs, settings.batches):
            for threads in settings.threads if backend == "onnxruntime" else (0,):
                found.append(Setting(Artefact(backend, precision, threads), batch, mode))
    return found

"""The sections of the GPU check, in the order of the report, and the time that each may take."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator
from typing import cast

from coke_edge.benchmarks.gpu_check.rows import Options, Row


@dataclasses.dataclass(frozen=True)
class Section:
    """A module of this package with `rows(options) -> Iterator[Row]`; an argument may follow its name."""

    name: str
    module: str
    seconds: float
    timed: bool = False  # runs alone, so that nothing disturbs its clock
    argument: str | None = None
    asked_for: bool = False  # only when it is named

    def rows(self, options: Options) -> Iterator[Row]:
        module = importlib.import_module(f"coke_edge.benchmarks.gpu_check.{self.module}")
        function = cast("Callable[..., Iterator[Row]]", module.rows)
        return function(options) if self.argument is None else function(options, self.argument)


SECTIONS = (
    Section("environment", "surroundings", 30),
    Section("match fp16", "matching", 130, argument="fp16"),
    Section("match bf16", "matching", 130, argument="bf16"),
    Section("match fp32", "matching", 130, argument="fp32"),
    Section("warp", "crops", 60),
    Section("torch operator", "operator_in_torch", 90),
    Section("binaries cuda-python", "binaries", 130, argument="cuda-python"),
    Section("binaries pycuda", "binaries", 130, argument="pycuda"),
    Section("sanitizer", "sanitizer", 140),
    Section("speed", "speed", 220, timed=True),
    Section("bench", "bench", 60, timed=True),
    Section("tune", "tune", 240, timed=True, asked_for=True),
)


def named(name: str) -> Section:
    """The section of that name; KeyError if there is none."""
    return {section.name: section for section in SECTIONS}[name]

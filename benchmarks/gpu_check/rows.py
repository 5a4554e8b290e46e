"""What a section of the GPU check reports: one row for each thing that it looked at."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

Row = dict[str, Any]  # with "name" and "status"; all of it goes to JSON

PASSED, FAILED, SKIPPED, MEASURED = "passed", "failed", "skipped", "measured"
CUT = "cut"  # the section ran out of time: what is missing after this row was not looked at


@dataclasses.dataclass(frozen=True)
class Options:
    """What the check was asked for."""

    device: str = "cuda"  # or interpreter: small sizes on the CPU, nothing is timed
    kernels: str | None = None  # folder of binaries that were built elsewhere

    @property
    def small(self) -> bool:
        return self.device == "interpreter"

    @property
    def torch_device(self) -> str:
        return "cpu" if self.small else "cuda"


def row(name: str, status: str, **values: Any) -> Row:
    """A row that JSON can hold: what is not finite becomes text."""
    return {"name": name, "status": status, **{key: plain(value) for key, value in values.items()}}


def plain(value: Any) -> Any:
    """NaN and infinities as text, in whatever holds them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def checked(name: str, good: bool, **values: Any) -> Row:
    """A row that passed or failed."""
    return row(name, PASSED if good else FAILED, **values)


def broken(name: str, error: BaseException) -> Row:
    """A row for what ended in an exception."""
    return row(name, FAILED, error=reason_of(error))


def reason_of(error: BaseException) -> str:
    """What was raised, in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:500]

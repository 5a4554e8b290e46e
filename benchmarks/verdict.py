"""Whether a run meets what the fused kernels promise: each target with the measured value beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from coke_edge.benchmarks.measure import COMPILED, FUSED, UNFUSED
from coke_edge.benchmarks.sizes import KEY_SIZES

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One target. `value` is None if it could not be measured; then it is not met."""

    target: str
    limit: float
    value: float | None
    met: bool


SPEED_UP, FLOORS, SHARE, MEMORY, ERROR = 3.0, 2.5, 0.6, 0.01, 2.0


def verdicts(rows: Iterable[Row]) -> list[Verdict]:
    """All targets, from the rows of `measure` that hold the key sizes."""
    by_name = {row["name"]: row for row in rows}
    one, many = (by_name.get(size.name, {}) for size in KEY_SIZES)
    found = []
    for row, batch in ((one, "batch 1"), (many, "batch 64")):
        found.append(at_least(f"{batch}: times faster than torch.compile", SPEED_UP, speed_up(row)))
        if row is one:
            found.append(
                at_most(f"{batch}: time over the launch and roofline floor", FLOORS, over_floor(row))
            )
        else:
            found.append(at_least(f"{batch}: share of the roofline", SHARE, of_roofline(row)))
        found.append(below(f"{batch}: extra memory over the unfused form's", MEMORY, extra_memory(row)))
        found.append(
            at_most(f"{batch}: error over that of plain float16 torch", ERROR, row.get("error_ratio"))
        )
    return found


def median(row: Row, form: str) -> float | None:
    value = row.get("forms", {}).get(form, {}).get("median_ms")
    return None if value is None else float(value)


def ratio(above: float | None, under: float | None) -> float | None:
    return above / under if above is not None and under else None


def speed_up(row: Row) -> float | None:
    return ratio(median(row, COMPILED), median(row, FUSED))


def over_floor(row: Row) -> float | None:
    return ratio(median(row, FUSED), row.get("floor_ms"))


def of_roofline(row: Row) -> float | None:
    return ratio(row.get("roofline_ms"), median(row, FUSED))


def extra_memory(row: Row) -> float | None:
    taken = [row.get("forms", {}).get(form, {}).get("extra_bytes") for form in (FUSED, UNFUSED)]
    return ratio(*taken)


def at_least(target: str, limit: float, value: float | None) -> Verdict:
    return Verdict(f"{target}, at least", limit, value, value is not None and value >= limit)


def at_most(target: str, limit: float, value: float | None) -> Verdict:
    return Verdict(f"{target}, at most", limit, value, value is not None and value <= limit)


def below(target: str, limit: float, value: float | None) -> Verdict:
    return Verdict(f"{target}, less than", limit, value, value is not None and value < limit)

"""Whether two results differ by more than the noise, row by row and stage by stage.

Of each pair, the ratio of medians has an interval, from the errors that `noise` finds. All intervals of a comparison
hold together in CONFIDENCE of the cases, so that two runs of the same thing come out as equal everywhere in as many:
the more rows, the wider they are. Beside "equal" stands the difference that would have shown.

Results that were measured in turns (`coke-edge bench A --against B`) are compared slice by slice (see `paired`): what
the machine did to both is no noise then, and smaller differences show.
"""

from __future__ import annotations

import dataclasses
import math
from statistics import NormalDist
from typing import Literal

import msgspec

from coke_edge.benchmarks.bench.alike import check_alike, check_load, drift, notes, row_notes
from coke_edge.benchmarks.bench.noise import (
    BETWEEN_COPIES,
    BETWEEN_RUNS,
    CUT_INTO,
    LEAST_SLICES,
    PLACEMENT,
    Estimate,
    estimate,
    t_quantile,
)
from coke_edge.benchmarks.bench.paired import ratios
from coke_edge.benchmarks.bench.result import Mode, Result, Row
from coke_edge.errors import CokeError

CONFIDENCE = 0.95  # of all verdicts of a comparison together
POWER = 0.9  # how often a difference of the size `detectable` is found
ELASTICITY = 1.5  # stages feel up to so much of what a yardstick shows
WHOLE = "whole"
NO_WORK = ("wait", "other")  # of the stages: what is not done in them
Outcome = Literal["equal", "slower", "faster", "alone"]
Key = tuple[str, str, str, int, int, Mode, float | None, tuple[int, int]]


class Verdict(msgspec.Struct, kw_only=True, frozen=True):
    """One quantity of one pair of rows: medians in ms, and B over A."""

    model: str
    backend: str
    precision: str
    batch: int
    threads: int
    mode: Mode
    fps_asked: float | None
    input_size: tuple[int, int]
    what: str  # "whole", or a Stage
    a_ms: float | None  # None in a row that only B has
    b_ms: float | None
    ratio: float | None = None  # of B to A; this and the following are None in a row that stands alone
    least: float | None = None  # the interval of the ratio
    most: float | None = None
    detectable: float | None = None  # 0.03: a ratio of 1.03 would have been found, nine times in ten
    outcome: Outcome
    sentence: str
    notes: list[str] = []


def compare(a: Result, b: Result, between_runs: float = BETWEEN_RUNS) -> list[Verdict]:
    """All verdicts, in the order of A's rows; rows without a partner come last.

    Rows are paired by model name, backend, precision, batch, threads, mode, frames per second and input size; the
    artefacts themselves may differ, and in results that were measured in turns name and input size, too.
    `between_runs`: see `noise`, which has another constant for rows that took turns.

    Raises CokeError, one sentence, if A and B were not measured alike or have no row in common.
    """
    check_alike(a, b)
    in_turns = a.turns is not None and a.turns == b.turns
    olds, news = by_key(a, "A"), by_key(renamed(b, a) if in_turns else b, "B")
    common = [key for key in olds if key in news]
    if not common:
        raise CokeError(
            "A and B have no row in common: same model name, backend, precision, batch, threads, mode and input size"
        )
    for key in () if in_turns else common:  # in turns, both had the load
        check_load(olds[key], news[key], a.machine.cores, words(key))
    estimates = {key: (estimates_of(olds[key]), estimates_of(news[key])) for key in common}
    number = sum(len(old.keys() & new.keys()) for old, new in estimates.values())
    told, found = notes(a, b), []
    for key, (old, new) in estimates.items():
        rows = olds[key], news[key]
        differences = (
            in_turns_differ(*rows) if in_turns else runs_differ(old, new, drift(*rows), between_runs)
        )
        doubts = [*told, *row_notes(*rows)]
        for what, difference in differences.items():
            medians = old[what].median, new[what].median
            shares = [median / side[WHOLE].median for median, side in zip(medians, (old, new), strict=True)]
            placement = math.sqrt(2) * PLACEMENT / math.sqrt(shares[0] * shares[1])
            found.append(judge(key, what, medians, difference.and_error(placement), number, doubts))
    found += [alone(key, row, "A") for key, row in olds.items() if key not in news]
    return found + [alone(key, row, "B") for key, row in news.items() if key not in olds]


def by_key(result: Result, name: str) -> dict[Key, Row]:
    """The rows by what pairs them. Raises CokeError if two have the same key."""
    found: dict[Key, Row] = {}
    for row in result.rows:
        key = (
            row.model,
            row.backend,
            row.precision,
            row.batch,
            row.threads,
            row.mode,
            row.fps_asked,
            row.input_size,
        )
        if key in found:
            raise CokeError(f"{name} has two rows of {words(key)}: measure each once")
        found[key] = row
    return found


def words(key: Key) -> str:
    """A row for sentences."""
    model, backend, precision, batch, threads, mode, fps, _ = key
    pace = f" at {fps:g} fps" if fps else ""
    return f"{model} on {backend}, {precision}, batch {batch}, {threads or 'automatic'} threads, {mode}{pace}"


def estimates_of(row: Row) -> dict[str, Estimate]:
    """Of the whole and of each stage with samples. Raises CokeError if there are too few samples to judge."""
    return estimate(columns_of(row), slices_of(row))


def columns_of(row: Row) -> dict[str, list[float]]:
    """Samples in ms of the whole and of each stage that can be judged."""
    return {WHOLE: row.samples_ms} | {
        stage: samples
        for stage, samples in row.stage_samples_ms.items()
        if stage not in NO_WORK and len(samples) == len(row.samples_ms) and min(samples, default=0) > 0
    }


def slices_of(row: Row) -> list[int]:
    """Its slices, or CUT_INTO parts where it was measured in one stretch. Raises CokeError if it is too short."""
    count = len(row.samples_ms)
    if len(row.slices) >= LEAST_SLICES and sum(row.slices) == count and min(row.slices) > 0:
        return row.slices
    if count < 2 * CUT_INTO:
        raise CokeError(
            f"{row.model} on {row.backend} has {count} samples: too few to compare, measure longer"
        )
    return [count // CUT_INTO + (part < count % CUT_INTO) for part in range(CUT_INTO)]


@dataclasses.dataclass(frozen=True)
class Difference:
    """The ratio of B to A and what it may be off by, in logarithms."""

    log: float
    error: float  # standard error
    freedom: float  # its degrees of freedom
    moved: float = 0.0  # what the machine itself may have added to B's times

    def and_error(self, more: float) -> Difference:
        """With an error beside that of the samples."""
        return dataclasses.replace(self, error=math.hypot(self.error, more))


def in_turns_differ(a: Row, b: Row) -> dict[str, Difference]:
    """Rows of the same run, whose stretches took turns."""
    found = ratios(columns_of(a), columns_of(b), slices_of(a), slices_of(b))
    return {what: Difference(*ratio).and_error(BETWEEN_COPIES) for what, ratio in found.items()}


def runs_differ(
    old: dict[str, Estimate], new: dict[str, Estimate], drifted: float, between_runs: float
) -> dict[str, Difference]:
    """Rows of two runs; `drifted`: what the yardstick says, `between_runs`: see `noise`."""
    unseen, moved = math.sqrt(2) * between_runs, ELASTICITY * drifted
    return {
        what: Difference(
            math.log(new[what].median / old[what].median),
            *error_between_runs(old[what], new[what], unseen),
            moved,
        )
        for what in old
        if what in new
    }


def error_between_runs(old: Estimate, new: Estimate, unseen: float) -> tuple[float, float]:
    """Standard error of the logarithm of the ratio, and its degrees of freedom; `unseen`: what no slice shows."""
    error = math.sqrt(old.error**2 + new.error**2 + unseen**2)
    # Welch and Satterthwaite; what lies between runs is given, not estimated.
    return error, error**4 / max(old.error**4 / old.freedom + new.error**4 / new.freedom, 1e-30)


def renamed(result: Result, like: Result) -> Result:
    """With the names and input sizes of the rows of `like` that were run in the same way."""
    names = {way(row): (row.model, row.input_size) for row in like.rows}
    rows = []
    for row in result.rows:
        model, size = names.get(way(row), (row.model, row.input_size))
        rows.append(msgspec.structs.replace(row, model=model, input_size=size))
    return msgspec.structs.replace(result, rows=rows)


def way(row: Row) -> tuple[str, str, int, int, Mode]:
    """How a row was run, whatever the model."""
    return row.backend, row.precision, row.batch, row.threads, row.mode


def judge(
    key: Key, what: str, medians: tuple[float, float], found: Difference, number: int, doubts: list[str]
) -> Verdict:
    """One of `number` verdicts, on medians of A and B in ms."""
    ratio, error, moved = math.exp(found.log), found.error, found.moved
    reach = t_quantile(1 - (1 - CONFIDENCE) / (2 * number), found.freedom) * error
    least = ratio * math.exp(-reach - max(moved, 0.0))
    most = ratio * math.exp(reach - min(moved, 0.0))
    detectable = math.exp(reach + abs(moved) + NormalDist().inv_cdf(POWER) * error) - 1
    outcome: Outcome = "slower" if least > 1 else "faster" if most < 1 else "equal"
    return verdict(
        key,
        what,
        a_ms=medians[0],
        b_ms=medians[1],
        ratio=ratio,
        least=least,
        most=most,
        detectable=detectable,
        outcome=outcome,
        sentence=sentence(key, what, outcome, ratio, least, most, detectable),
        notes=doubts,
    )


def sentence(
    key: Key, what: str, outcome: Outcome, ratio: float, least: float, most: float, detectable: float
) -> str:
    """What a verdict says."""
    where, interval = f"{words(key)}, {what}", f"{percent(least)} to {percent(most)} %"
    if outcome == "equal":
        return f"{where}: equal ({interval}); a difference of {100 * detectable:.2g} % would have shown"
    return f"{where}: {outcome} by {100 * abs(ratio - 1):.2g} % ({interval})"


def percent(ratio: float) -> str:
    """A ratio as the difference that it is."""
    return f"{100 * (ratio - 1):+.1f}"


def alone(key: Key, row: Row, name: str) -> Verdict:
    """A row that has no partner."""
    return verdict(
        key,
        WHOLE,
        a_ms=row.latency_ms.p50 if name == "A" else None,
        b_ms=row.latency_ms.p50 if name == "B" else None,
        outcome="alone",
        sentence=f"{words(key)}: only {name} has it",
    )


def verdict(key: Key, what: str, **fields: object) -> Verdict:
    """With the fields that name the row."""
    names = ("model", "backend", "precision", "batch", "threads", "mode", "fps_asked", "input_size")
    return msgspec.convert({**dict(zip(names, key, strict=True)), "what": what, **fields}, Verdict)

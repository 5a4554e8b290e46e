"""Whether what was measured can be believed: steady, and not slowed down by heat or power."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from coke_edge.benchmarks.bench.result import Row
from coke_edge.benchmarks.report.quantities import count


@dataclasses.dataclass(frozen=True)
class Verdict:
    """In a word and in a sentence. `tone` is good, warn or bad."""

    word: str
    sentence: str
    tone: str


def of_row(row: Row) -> Verdict:
    """One row's."""
    if row.throttled:
        return Verdict(
            "throttled", "The machine slowed itself down (heat or power): measure again, cooler.", "bad"
        )
    steady = row.warm_up.get("steady")
    if steady is None:
        return Verdict("unknown", "Whether the warm-up ended in a steady state was not recorded.", "warn")
    if not steady:
        return Verdict(
            "not steady", "The warm-up ended before the calls were steady: the figures still drift.", "warn"
        )
    if row.throttled is None:
        why = row.absent.get("throttled")
        known = "whether the machine throttled is not known"
        return Verdict("steady", f"Steady after the warm-up; {known}{f': {why}' if why else ''}.", "good")
    return Verdict("steady", "Steady after the warm-up, and the machine did not throttle.", "good")


def of_all(rows: Sequence[Row]) -> Verdict:
    """The worst of the rows', with how many it holds for."""
    verdicts = [of_row(row) for row in rows]
    for word, one, many in (
        ("throttled", "throttled: measure again, cooler", "throttled: measure again, cooler"),
        (
            "not steady",
            *(f"{verb} not steady when the warm-up ended: figures still drift" for verb in ("was", "were")),
        ),
        ("unknown", *(f"{verb} no record of being steady" for verb in ("has", "have"))),
    ):
        found = [verdict for verdict in verdicts if verdict.word == word]
        if found:
            says = one if len(found) == 1 else many
            return Verdict(word, f"{len(found)} of {count(len(rows), 'row')} {says}.", found[0].tone)
    if not rows:
        return Verdict("empty", "Nothing was measured.", "warn")
    unknown = sum(row.throttled is None for row in rows)
    every = "The row was" if len(rows) == 1 else f"All {len(rows)} rows were"
    if not unknown:
        return Verdict("steady", f"{every} steady after the warm-up, and none throttled.", "good")
    whether = "whether the machine throttled is not known"
    part = "" if unknown == len(rows) else f" for {unknown} of them"
    return Verdict("steady", f"{every} steady after the warm-up; {whether}{part}.", "good")

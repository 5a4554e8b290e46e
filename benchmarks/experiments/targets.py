"""What the project promises of CoKe on LSP, and what the committed figures say of it."""

from __future__ import annotations

from typing import NamedTuple

from coke_edge.benchmarks.experiments.collected import Cell, Collection
from coke_edge.benchmarks.experiments.declared import COKE, HEATMAP, LEVELS
from coke_edge.benchmarks.experiments.figures import auroc, pck
from coke_edge.benchmarks.table import markdown

WITHIN = 1.0  # points of PCK that CoKe may lie behind the heat map
AUROC = {"L1": 0.88, "L2": 0.84, "L3": 0.82}


class Finding(NamedTuple):
    """One target at one level."""

    level: str
    limit: str
    measured: str
    met: bool | None  # None: not measured


def margins(coke: Cell, heatmap: Cell) -> list[Finding]:
    """CoKe's PCK less the heat map's, means over the seeds."""
    findings = []
    for level in LEVELS:
        ours, theirs = coke.spread(pck, level), heatmap.spread(pck, level)
        if ours is None or theirs is None:
            findings.append(Finding(level, f"≥ −{WITHIN:g}", "missing", None))
            continue
        gap = round(ours.mean - theirs.mean, 2)
        findings.append(Finding(level, f"≥ −{WITHIN:g}", signed(gap), gap >= -WITHIN))
    return findings


def visibilities(coke: Cell) -> list[Finding]:
    """CoKe's AUROC of visible against covered keypoints, mean over the seeds."""
    findings = []
    for level, limit in AUROC.items():
        ours = coke.spread(auroc, level)
        measured = "missing" if ours is None else f"{ours.mean:.3f}"
        met = None if ours is None else round(ours.mean, 3) >= limit
        findings.append(Finding(level, f"≥ {limit:.2f}", measured, met))
    return findings


def targets_part(found: Collection) -> str:
    """A sentence for each target, and the table behind them."""
    coke, heatmap = found.cells["lsp", COKE], found.cells["lsp", HEATMAP]
    by_margin, by_auroc = margins(coke, heatmap), visibilities(coke)
    seeds = f"Seeds: CoKe {coke.seeds}, heat map {heatmap.seeds}."
    sentences = [
        verdict(
            f"PCK@0.2 within {WITHIN:g} point of the cross-entropy heat map at every level",
            by_margin,
            coke.complete and heatmap.complete,
        ),
        verdict("Visibility, AUROC of at least .88/.84/.82 at L1/L2/L3", by_auroc, coke.complete),
    ]
    lines = [
        [
            name,
            one.level,
            one.limit,
            one.measured,
            {True: "yes", False: "**no**", None: "not measured"}[one.met],
        ]
        for name, findings in (("PCK, CoKe − heat map", by_margin), ("AUROC, CoKe", by_auroc))
        for one in findings
    ]
    table = markdown(["target", "level", "asked", "measured", "met"], lines)
    return "\n\n".join(["\n".join(f"* {sentence}" for sentence in [*sentences, seeds]), table])


def verdict(target: str, findings: list[Finding], complete: bool) -> str:
    """One sentence: met, missed and where, or not known yet; "so far" unless all seeds are there."""
    missed = [f"{one.level} ({one.measured})" for one in findings if one.met is False]
    unknown = [one.level for one in findings if one.met is None]
    so_far = "" if complete else " so far"
    if missed:
        rest = f"; {', '.join(unknown)} not measured" if unknown else ""
        return f"{target}: **missed**{so_far} at {', '.join(missed)}{rest}."
    if unknown:
        return f"{target}: **not known**, {', '.join(unknown)} not measured."
    return f"{target}: **met**{so_far}."


def signed(value: float) -> str:
    """With a sign, a true minus."""
    return f"{value:+.2f}".replace("-", "−")

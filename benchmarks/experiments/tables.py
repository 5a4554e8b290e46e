"""The tables of docs/results.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from coke_edge.benchmarks.experiments.collected import Cell, Collection
from coke_edge.benchmarks.experiments.declared import (
    ABLATIONS,
    CLASSES,
    COMPARED,
    JOINT,
    LEVELS,
    METHODS,
    PROTOTYPES,
    RULES,
    UNPLACED,
    Row,
)
from coke_edge.benchmarks.experiments.figures import (
    Figure,
    Spread,
    auroc,
    covered_pck,
    forgiven,
    keypoint_mean,
    pck,
    spread,
)
from coke_edge.benchmarks.experiments.targets import signed
from coke_edge.benchmarks.table import markdown

MISSING, NONE = "missing", "no object"
HALVES = ("seen", "unseen")
Named = tuple[str, Cell]  # title of a row, and what is there of it


def cell(value: Spread | None, digits: int = 1) -> str:
    """Mean ± deviation over the seeds, the mean alone of one seed, or that it is missing."""
    if value is None:
        return MISSING
    deviation = "" if value.deviation is None else f" ± {value.deviation:.{digits}f}"
    return f"{value.mean:.{digits}f}{deviation}"


def level_table(
    rows: Iterable[Named], figure: Figure, digits: int = 1, levels: Sequence[str] = LEVELS
) -> str:
    """A row a method, a column a level."""
    lines = [
        [title, *(cell(one.spread(figure, level), digits) for level in levels), one.seeds]
        for title, one in rows
    ]
    return markdown(["method", *levels, "seeds"], lines)


def titled(found: Collection, group: str, rows: Iterable[Row]) -> list[Named]:
    return [(row.title, found.cells[group, row.name]) for row in rows]


def methods_part(found: Collection) -> str:
    """LSP: where and whether, by method."""
    rows = titled(found, "lsp", METHODS)
    return "\n\n".join(
        [
            "PCK@0.2 [%] of visible keypoints that no occluder covers:",
            level_table(rows, pck),
            "The same with left/right confusion forgiven:",
            level_table(rows, forgiven),
            "Visibility: AUROC of P(visible), visible against covered keypoints, all keypoints together, read at the "
            "predicted places:",
            level_table(rows, auroc, 3, LEVELS[1:]),
            "PCK@0.2 [%] of the keypoints that an occluder covers (older runs were not asked):",
            level_table(asked(rows), covered_pck, levels=LEVELS[1:]),
            "Size and steps:",
            size_table(rows),
        ]
    )


def asked(rows: Iterable[Named]) -> list[Named]:
    """Those whose results say what becomes of covered keypoints."""
    return [row for row in rows if row[1].spread(covered_pck, LEVELS[1])]


def size_table(rows: Iterable[Named]) -> str:
    """Parameters and steps of the trainings. Not their time: a run may have shared its machine with others."""
    lines = []
    for title, one in rows:
        size = one.over(lambda result: result.trained.parameters / 1e6)
        steps = one.over(lambda result: float(result.trained.steps))
        known = MISSING if steps is None else f"{steps.mean:,.0f}"
        million = MISSING if size is None else f"{size.mean:.1f}"
        lines.append([title, million, known, one.seeds])
    return markdown(["method", "parameters, millions", "steps", "seeds"], lines)


def rules_part(found: Collection) -> str:
    """The decoding rules on one model."""
    rows = [(rule.replace("_", "-"), found.cells["lsp-rules", rule]) for rule in RULES]
    return "\n\n".join(
        ["PCK@0.2 [%]:", level_table(rows, pck), "AUROC:", level_table(rows, auroc, 3, LEVELS[1:])]
    )


def prototypes_part(found: Collection) -> str:
    """How prototypes come about."""
    reference = ("learned (first row of the ablations)", found.cells["lsp-ablation", UNPLACED])
    return compared(found, [reference, *titled(found, "lsp-prototypes", PROTOTYPES)])


def ablation_part(found: Collection) -> str:
    """One thing changed at a time."""
    return compared(found, titled(found, "lsp-ablation", ABLATIONS))


def compared(found: Collection, rows: Sequence[Named]) -> str:
    """PCK with the difference from the first row's mean, and AUROC; the first row tells how far seeds alone differ."""
    first = rows[0][1]
    lines = []
    for title, one in rows:
        cells = [beside(one.spread(pck, level), first.spread(pck, level), one is first) for level in LEVELS]
        lines.append([title, *cells, *(cell(one.spread(auroc, level), 3) for level in LEVELS[1:])])
    titles = ["", *LEVELS, *(f"AUROC {level}" for level in LEVELS[1:])]
    about = (
        f"First row: {first.seeds} seeds; the others have one. In brackets the difference from the first row's mean: "
        "less than twice the first row's deviation may be the seed."
    )
    return "\n\n".join([markdown(titles, lines), about])


def beside(value: Spread | None, reference: Spread | None, itself: bool) -> str:
    """A mean, and how far it is from the reference."""
    if value is None or reference is None or itself:
        return cell(value)
    return f"{cell(value)} ({signed(round(value.mean - reference.mean, 1))[:-1]})"


def parts_part(found: Collection) -> str:
    """The generated part."""
    rows = titled(found, "parts", COMPARED)
    words = ("PCK@0.1 of the box's longer side [%]:", "Visibility, AUROC:")
    return "\n\n".join([words[0], level_table(rows, pck), words[1], level_table(rows, auroc, 3, LEVELS[1:])])


def pascal_part(found: Collection) -> str:
    """PASCAL3D+: the mean over the classes, then each class."""
    titles = [f"{half} {level}" for half in HALVES for level in LEVELS]
    means, classes = [], []
    for row in COMPARED:
        joint = found.cells["pascal3d", f"{JOINT}-{row.name}"]
        own = {name: found.cells["pascal3d", f"{name}-{row.name}"] for name in CLASSES}
        means.append([f"{row.title}, one model per class", *over_classes(own), fewest(own.values())])
        means.append(
            [f"{row.title}, one model of all classes", *both_halves(joint, keypoint_mean), joint.seeds]
        )
    by_class = [row for row in COMPARED if row.name != UNPLACED]
    for name in CLASSES:
        for row in by_class:
            one = found.cells["pascal3d", f"{name}-{row.name}"]
            if one.results:
                classes.append(
                    [f"{name}, {row.title}", *both_halves(one, keypoint_mean), *objects(one), one.seeds]
                )
    table = markdown(["", *titles, "trained on", "tested on (seen + unseen)", "seeds"], classes)
    return "\n\n".join(
        [
            "PCK@0.1 of the box's longer side [%], mean over the keypoints of a class, then over the classes that have "
            "objects:",
            markdown(["", *titles, "seeds"], means),
            f"By class, one model per class, {len(classes)} of {len(CLASSES) * len(by_class)} rows begun:",
            *([table] if classes else []),
        ]
    )


def both_halves(one: Cell, figure: Figure) -> list[str]:
    """Every level of either half."""
    return [
        NONE if has_none(one, half) else cell(one.spread(figure, level, half))
        for half in HALVES
        for level in LEVELS
    ]


def has_none(one: Cell, half: str) -> bool:
    """Whether it is known that no object is seen from this half."""
    return any(half in result.figures and not result.figures[half] for result in one.results)


def over_classes(own: dict[str, Cell]) -> list[str]:
    """The mean over all classes that have objects, seed by seed; missing while a class is."""
    cells = []
    for half in HALVES:
        expected = [one for one in own.values() if not has_none(one, half)]
        for level in LEVELS:
            seeds: dict[int, list[float]] = {}
            for one in expected:
                for result in one.results:
                    value = keypoint_mean(result.figures[half][level])
                    if value is not None:
                        seeds.setdefault(result.run.seed, []).append(value)
            whole = [fmean(values) for values in seeds.values() if len(values) == len(expected)]
            cells.append(cell(spread(whole)))
    return cells


def fewest(cells: Iterable[Cell]) -> str:
    return min((one.seeds for one in cells), key=lambda words: int(words.split()[0]))


def objects(one: Cell) -> list[str]:
    """How many objects a class is trained and tested on."""
    if not one.results:
        return [MISSING, MISSING]
    result = one.results[0]
    numbers = [result.figures[half][LEVELS[0]].objects if result.figures[half] else 0 for half in HALVES]
    tested = " + ".join(str(number) for number in numbers)
    return [str(result.trained.objects), tested]

"""`coke-edge eval --occlusion`: the levels side by side, and which images the occluders may come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from coke_edge.cli.eval_tables import counted, heading, left_out_lines
from coke_edge.cli.next_step import say
from coke_edge.cli.tables import cell
from coke_edge.errors import CokeError

if TYPE_CHECKING:
    from rich.console import Console

    from coke_edge.train.occluders import Occluders
    from coke_edge.train.robustness import LevelResult

OcclusionOption = Annotated[
    str | None, typer.Option(help="levels of occluders to paste on, side by side: L0,L1,L2,L3")
]
OccludersOption = Annotated[
    str | None,
    typer.Option(
        help="folder of photos or cut-outs to paste; FOLDER?part=test is half of it, ?part=train the other"
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="the same seed pastes the same occluders")]


class Plan(NamedTuple):
    """What `--occlusion` asks for; no occluders are needed for L0 alone."""

    levels: list[str]
    occluders: Occluders | None


def plan_occlusion(occlusion: str | None, occluders: str | None, report: object, model: str) -> Plan | None:
    """The levels and the open folder of occluders; None without `--occlusion`.

    Raises CokeError for options that do not go together, a folder that is missing or was trained with, or no level.
    """
    if occlusion is None:
        if occluders is not None:
            raise CokeError(
                "--occluders does nothing by itself: add --occlusion with levels such as L0,L1,L2,L3"
            )
        return None
    if report is not None:
        raise CokeError(
            "--report draws images from their files: write the occluded ones with `coke-edge data occlude`, then use "
            "--data 'occluded:FOLDER?level=L1' --report without --occlusion"
        )
    from coke_edge.train.occluders import Occluders
    from coke_edge.train.occlusion_levels import parse_levels

    levels = parse_levels(occlusion)
    if occluders is None:
        if levels == ["L0"]:
            return Plan(levels, None)
        raise CokeError(
            "occluders are cut from images: add --occluders with a folder of photos that the model was not trained with"
        )
    found = Occluders(occluders)
    warn_of_training_occluders(found, model)
    return Plan(levels, found)


def warn_of_training_occluders(occluders: Occluders, model: str) -> None:
    """Raise CokeError if the model was trained with these; print a warning if that cannot be ruled out."""
    from coke_edge.train.occluder_overlap import refuse_training_occluders

    warn(refuse_training_occluders(occluders.folder, model))


def warn_of_written_occluders(data: str, model: str) -> None:
    """The same for a data set of images that `coke-edge data occlude` wrote; nothing for any other."""
    from coke_edge.train.data.occluded_names import read_written
    from coke_edge.train.data.spec import parse_spec
    from coke_edge.train.written_overlap import refuse_written_occluders

    spec = parse_spec(data)
    if spec.scheme == "occluded" or (spec.scheme == "occluded-pascal3d" and read_written(spec.path)):
        warn(refuse_written_occluders(spec.path, model))


def warn(text: str | None) -> None:
    """Print a warning, if there is one."""
    from rich.console import Console

    if text:
        say(Console(stderr=True), f"Warning: {text}.")


def levels_json(results: Sequence[LevelResult], plan: Plan, seed: int) -> str:
    """One JSON object: the figures of every level, what was pasted, the seed."""
    levels = {result.level: result.to_json() for result in results}
    folder = plan.occluders.text if plan.occluders else None
    return json.dumps({"occluders": folder, "seed": seed, "levels": levels})


def show_levels(results: Sequence[LevelResult], console: Console) -> None:
    """Print one table: a column for each level."""
    from rich.table import Table

    first = results[0].evaluation
    table = Table(
        title=heading(first),
        caption=f"PCK [%]: distance ≤ threshold · {first.normaliser} length; {counted(first)} keypoints that no "
        f"occluder covers, but where the row says so. AUROC: P(visible), at the predicted places.",
    )
    table.add_column("")
    for result in results:
        table.add_column(result.level, justify="right")

    def add(name: str, cells: list[str]) -> None:
        table.add_row(name, *cells)

    runs = [result.evaluation for result in results]
    for threshold in first.pck:
        add(f"PCK@{threshold}", [cell(run.pck[threshold], 1) for run in runs])
    for threshold in first.pck:
        add(
            f"  left/right forgiven @{threshold}",
            [cell(run.left_right_forgiven[threshold], 1) for run in runs],
        )
    for threshold in first.pck:
        add(f"  mean over keypoints @{threshold}", [cell(run.keypoint_mean[threshold], 1) for run in runs])
    for threshold in first.pck:
        add(f"  covered keypoints @{threshold}", [cell(run.covered_pck[threshold], 1) for run in runs])
    table.add_section()
    add("AUROC visible / covered", [cell(run.covered_auroc, 3) for run in runs])
    add("AUROC visible / hidden", [cell(run.visibility_auroc, 3) for run in runs])
    table.add_section()
    add("objects", [str(run.objects) for run in runs])
    add("keypoints counted", [str(run.keypoints) for run in runs])
    add("keypoints covered", [str(run.covered) for run in runs])
    add("of the objects covered [%]", [percent(result.object_share["mean"]) for result in results])
    add("of the background covered [%]", [percent(result.background_share["mean"]) for result in results])
    console.print(table)
    for line in remarks(results):
        console.print(line, highlight=False)


def percent(share: float) -> str:
    """A share 0 … 1 as it stands in the table."""
    return cell(100 * share, 1)


def remarks(results: Sequence[LevelResult]) -> list[str]:
    """What else must be known about the figures."""
    lines = left_out_lines(results[0].evaluation)
    lines += [
        f"{result.level}: {result.unmet} objects could not be covered as far as they should"
        for result in results
        if result.unmet
    ]
    return lines

"""What `coke-edge eval` prints: the figures as tables, and what must be known about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coke_edge.cli.tables import cell, latency_sentence, number

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from coke_edge.train.evaluate import Evaluation


def show(result: Evaluation, console: Console) -> None:
    """Print the figures as tables."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=heading(result),
        caption=f"PCK [%]: distance ≤ threshold · {result.normaliser} length; {result.keypoints} {counted(result)} "
        f"keypoints of {number(result.objects, 'object')} in {number(result.images, 'image')}",
    )
    table.add_column("keypoint")
    table.add_column("count", justify="right")
    for threshold in result.pck:
        table.add_column(f"@{threshold}", justify="right")
    for name, figures in result.per_keypoint.items():
        table.add_row(
            escape(name), str(figures["count"]), *(cell(value, 1) for value in figures["pck"].values())
        )
    table.add_section()
    for name, row in (
        ("all", result.pck),
        ("left/right forgiven", result.left_right_forgiven),
        (
            "mean over keypoints" + (", then categories" if len(result.per_category) > 1 else ""),
            result.keypoint_mean,
        ),
    ):
        table.add_row(name, str(result.keypoints), *(cell(value, 1) for value in row.values()), style="bold")
    console.print(table)
    if len(result.per_category) > 1:
        console.print(category_table(result))
    lines = [
        f"Median error {cell(result.median_error_px, 2)} px",
        f"Visibility AUROC {cell(result.visibility_auroc, 3)}",
        *covered_lines(result),
        latency_sentence(result.latency_ms, result.objects),
        *left_out_lines(result),
    ]
    for line in lines:
        console.print(line, highlight=False)


def heading(result: Evaluation) -> str:
    """What was measured on what, for the title of a table."""
    from rich.markup import escape

    return escape(f"{result.model} on {result.dataset} ({result.split}), {result.backend}")


def counted(result: Evaluation) -> str:
    """Which keypoints count, as an adjective."""
    return "visible and hidden" if result.include_hidden else "visible"


def covered_lines(result: Evaluation) -> list[str]:
    """A line for the keypoints under an occluder, which the table is not about, if there are any."""
    if not result.covered:
        return []
    right = ", ".join(f"@{threshold} {cell(value, 1)}" for threshold, value in result.covered_pck.items())
    auroc = cell(result.covered_auroc, 3)
    noun = number(result.covered, "covered keypoint")
    return [f"{noun}: PCK [%] {right}; AUROC of visible against covered {auroc}"]


def left_out_lines(result: Evaluation) -> list[str]:
    """A line for everything that the figures are not about."""
    lines = [f"{number(count, 'object')} left out: {reason}" for reason, count in result.left_out.items()]
    if result.excluded:
        lines.append(
            f"{number(result.excluded, 'object')} left out: their {result.normaliser} length is unknown"
        )
    if absent := absent_categories(result):
        lines.append(f"No object of {', '.join(absent)}: the mean is over the other categories")
    return lines


def absent_categories(result: Evaluation) -> list[str]:
    """Categories whose keypoints the data set has, and no object of them."""
    of_keypoints = dict.fromkeys(name.partition("/")[0] for name in result.per_keypoint if "/" in name)
    if not result.per_category.keys() <= of_keypoints.keys():
        return []  # a name with a stroke in it that is no category's
    return [category for category in of_keypoints if category not in result.per_category]


def category_table(result: Evaluation) -> Table:
    """PCK of each category: over its keypoints together, and their mean."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(caption="PCK [%]: all keypoints of the category together / mean over its keypoints")
    table.add_column("category")
    table.add_column("objects", justify="right")
    for threshold in result.pck:
        table.add_column(f"@{threshold}", justify="right")
    for name, row in result.per_category.items():
        both = zip(row["pck"].values(), row["keypoint_mean"].values(), strict=True)
        cells = (f"{cell(together, 1)} / {cell(mean, 1)}" for together, mean in both)
        table.add_row(escape(name), str(row["objects"]), *cells)
    return table

"""`coke-edge data`: look through a data set, make one from nothing, or cover the objects of one."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from coke_edge.cli.azimuth import AzimuthOption, with_azimuth
from coke_edge.cli.next_step import next_step, say
from coke_edge.cli.split import SplitName
from coke_edge.cli.tables import number

if TYPE_CHECKING:
    from coke_edge.train.data.check import DataReport, SplitReport

GROUP = True
app = typer.Typer(help="Look through a data set, generate one, or occlude one.", no_args_is_help=True)


class SplitChoice(str, Enum):
    """What `--split` takes."""

    train = "train"
    val = "val"
    test = "test"
    all = "all"


JsonOption = Annotated[bool, typer.Option("--json", help="print the result as one JSON object")]


@app.command()
def check(
    data: Annotated[
        str, typer.Argument(metavar="SPEC", help="lsp:PATH, mpii:PATH, pascal3d:PATH?category=…, coco:JSON?…")
    ],
    split: Annotated[SplitChoice, typer.Option(help="split to look through")] = SplitChoice.all,
    out: Annotated[Path | None, typer.Option(help="image file to write a contact sheet to")] = None,
    count: Annotated[int, typer.Option(min=1, help="objects on the contact sheet")] = 24,
    json: JsonOption = False,
) -> None:
    """Count what a data set holds, name what is missing or odd, and draw a contact sheet.

    Exit code 1 if a split cannot be loaded or images are missing or unreadable.
    """
    import msgspec
    from rich.console import Console
    from rich.progress import Progress

    from coke_edge.train.data.check import check_dataset
    from coke_edge.train.data.sample import Split

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading images", total=None)
        report, datasets = check_dataset(
            data,
            [one for one in get_args(Split) if split.value in (one, "all")],
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    if out is not None:
        from coke_edge.stream.images import write_image
        from coke_edge.train.data.sheet import contact_sheet

        write_image(out, contact_sheet(datasets, count))
    if json:
        typer.echo(msgspec.json.encode(report).decode())
    else:
        _print(report)
    if out is not None:
        say(console, f"Contact sheet: {out}")
    if not report.usable:
        from coke_edge.cli import fail

        fail("the data set cannot be used as it is: put right what is listed above, then check it again", 1)
    next_step(console, "train", "--data", data)


@app.command()
def generate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="folder to create")],
    count: Annotated[int, typer.Option(min=1, help="number of images")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="the same seed draws the same images")] = 0,
    json: JsonOption = False,
) -> None:
    """Draw a data set: brackets on a workbench with exact keypoints, as images and a COCO JSON."""
    import msgspec
    from rich.console import Console

    from coke_edge.train.data.generated import write_generated

    console = Console(stderr=True)
    with console.status(f"drawing {count} images"):
        annotations = write_generated(out, count, seed)
    if json:
        summary = {"data": f"coco:{annotations}", "images": count, "seed": seed}
        typer.echo(msgspec.json.encode(summary).decode())
    else:
        typer.echo(f"{number(count, 'image')} and {annotations}")
    next_step(console, "data", "check", f"coco:{annotations}", "--out", "sheet.jpg")


@app.command()
def occlude(
    data: Annotated[
        str, typer.Argument(metavar="SPEC", help="lsp:PATH, pascal3d:PATH?category=…, coco:JSON?…")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="folder to create")],
    occluders: Annotated[
        str, typer.Option(help="folder of photos or cut-outs to paste; FOLDER?part=test is half of it")
    ],
    levels: Annotated[str, typer.Option(help="which of L0,L1,L2,L3")] = "L1,L2,L3",
    split: Annotated[SplitName, typer.Option(help="part of the data set")] = SplitName.test,
    azimuth: AzimuthOption = None,
    seed: Annotated[int, typer.Option(min=0, help="the same seed pastes the same occluders")] = 0,
    json: JsonOption = False,
) -> None:
    """Paste occluders on the objects of a data set, and write images, masks and lists as OccludedPASCAL3D+ has them.

    They are the images that `coke-edge eval --occlusion` makes on the fly.
    """
    import msgspec
    from rich.console import Console
    from rich.progress import Progress

    from coke_edge.train.data import load_dataset
    from coke_edge.train.data.occluded_write import write_occluded
    from coke_edge.train.occluders import Occluders
    from coke_edge.train.occlusion_levels import parse_levels

    chosen = parse_levels(levels)
    images = Occluders(occluders)
    dataset = load_dataset(with_azimuth(data, azimuth), split.value)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("writing images", total=None)
        written = write_occluded(
            dataset,
            out,
            chosen,
            images,
            seed,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    if json:
        summary = {"data": f"occluded:{out}", "levels": {one.level: one._asdict() for one in written}}
        typer.echo(msgspec.json.encode(summary).decode())
    for one in () if json else written:
        unmet = f"; {one.unmet} could not be covered so far" if one.unmet else ""
        shares = (
            f"{one.object_share:.0%} of the object and {one.background_share:.0%} of the background covered"
        )
        typer.echo(f"{one.level}: {number(one.objects, 'image')}, on average {shares}{unmet}")
    next_step(
        console, "eval", "MODEL", "--data", f"occluded:{out}?level={chosen[-1]}", "--split", split.value
    )


def _print(report: DataReport) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    loaded = [one for one in report.splits if one.error is None]
    table = Table(caption="visible / hidden / unlabelled")
    table.add_column("keypoint")
    for one in loaded:
        table.add_column(
            f"{one.split}\n{number(one.objects, 'object')}\n{number(one.images, 'image')}", justify="right"
        )
    for k, keypoint in enumerate(loaded[0].keypoints):
        counts = [one.keypoints[k] for one in loaded]
        table.add_row(escape(keypoint.name), *(f"{c.visible} / {c.hidden} / {c.unlabelled}" for c in counts))
    console.print(escape(report.data), highlight=False, soft_wrap=True)
    console.print(table)
    for one in report.splits:
        for line in _lines(one):
            console.print(escape(line), highlight=False, soft_wrap=True)
    shared = [
        *_listed("all: held-out images that are training images too", report.in_train_and_held_out),
        *_listed("all: test images that are validation images too", report.in_val_and_test),
    ]
    for line in (*shared, *report.sides):
        console.print(escape(line), highlight=False, soft_wrap=True)


def _lines(one: SplitReport) -> list[str]:
    """What is wrong with a split, a line for each kind."""
    if one.error:
        return [f"{one.split}: {one.error}"]
    return [
        *(f"{one.split}: left out: {count} {reason}" for reason, count in one.left_out.items()),
        *_listed(f"{one.split}: missing images", one.missing),
        *_listed(f"{one.split}: unreadable images", one.unreadable),
        *_listed(f"{one.split}: objects with keypoints outside the image", one.points_outside),
        *_listed(f"{one.split}: objects whose box reaches outside the image", one.boxes_outside),
        *_listed(f"{one.split}: objects that are there twice", one.duplicates),
    ]


def _listed(title: str, items: list[str], shown: int = 3) -> list[str]:
    """One line with the number and the first few, or none at all."""
    rest = ", …" if len(items) > shown else ""
    return [f"{title}: {len(items)} ({', '.join(items[:shown])}{rest})"] if items else []

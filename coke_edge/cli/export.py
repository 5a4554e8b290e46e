"""`coke-edge export`: a checkpoint to one portable file whose accuracy was checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coke_edge.cli.eval import SplitName
from coke_edge.cli.next_step import next_step, say
from coke_edge.errors import CokeError, ExportError

if TYPE_CHECKING:
    from rich.console import Console

    from coke_edge.export.crops import Crop
    from coke_edge.export.parity import Verdict
    from coke_edge.train.checkpoint import Checkpoint

app = typer.Typer()


@app.command("export")
def export(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="checkpoint file, or the run folder that holds it")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="bundle to write, NAME.coke")],
    data: Annotated[
        str | None, typer.Option(help="data set to check on; default: the one that the model was trained on")
    ] = None,
    split: Annotated[SplitName, typer.Option(help="part of the data set")] = SplitName.val,
    images: Annotated[Path | None, typer.Option(help="folder of images to check on instead")] = None,
    count: Annotated[int, typer.Option(min=1, help="images to check on, at most")] = 200,
    peaks: Annotated[int | None, typer.Option(min=1, max=8, help="peaks kept per keypoint")] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="evaluation.json of `eval --report`, for the model card")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print the verdict as one JSON object")] = False,
) -> None:
    """Turn a checkpoint into a bundle.

    Its graph is first held against torch on real images: if they differ, no file is written and the exit code is 3.
    """
    from rich.console import Console

    from coke_edge.export.card import read_evaluation
    from coke_edge.export.export import export_bundle
    from coke_edge.train.checkpoint import load_checkpoint

    if data and images:
        raise ExportError("check on a data set (--data) or on a folder (--images), not on both")
    figures = read_evaluation(evaluation) if evaluation else None
    console = Console(stderr=True)
    loaded = load_checkpoint(checkpoint)
    crops = images_to_check_on(loaded, data, split, images, count)
    with console.status("loading") as status:
        verdicts = export_bundle(loaded, out, crops, peaks=peaks, evaluation=figures, report=status.update)
    if json:
        import json as library

        gate = {precision: verdict.to_manifest() for precision, verdict in verdicts.items()}
        typer.echo(library.dumps({"bundle": str(out), "bytes": out.stat().st_size, "gate": gate}))
    else:
        print_verdicts(Console(), verdicts)
    say(console, f"Wrote {out} ({out.stat().st_size / 1e6:.1f} MB).")
    next_step(console, "detect", out, "--source", "IMAGE")


def images_to_check_on(
    checkpoint: Checkpoint, data: str | None, split: SplitName, images: Path | None, count: int
) -> Iterator[Crop]:
    """Crops of the folder, of the data set, or of the data set that the model was trained on."""
    from coke_edge.export.crops import dataset_crops, folder_crops
    from coke_edge.train.data import load_dataset

    size = checkpoint.spec.input
    if images:
        return folder_crops(images, size, count)
    if data:
        return dataset_crops(load_dataset(data, split.value), size, count)
    recorded = str(checkpoint.training.get("data", ""))
    ask = "name images to check the export on with --data SPEC or --images DIR"
    if not recorded:
        raise ExportError(f"the checkpoint does not record what it was trained on; {ask}")
    try:
        return dataset_crops(load_dataset(recorded, split.value), size, count)
    except CokeError as error:
        raise ExportError(
            f"the model was trained on data that cannot be read here ({error}); {ask}"
        ) from error


def print_verdicts(console: Console, verdicts: dict[str, Verdict]) -> None:
    """The gate's table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title="Against torch, keypoints in crop pixels", box=SIMPLE_HEAD)
    for column in ("precision", "images", "keypoints", "median", "p99", "max", "ties", "gate"):
        table.add_column(column, justify="left" if column in ("precision", "gate") else "right")
    for precision, verdict in verdicts.items():
        pixels = (f"{verdict.pixels[key]:.3f}" for key in ("median", "p99", "max"))
        gate = "passed" if verdict.passed else "failed"
        table.add_row(
            precision, str(verdict.images), str(verdict.keypoints), *pixels, str(verdict.ties), gate
        )
    console.print(table)

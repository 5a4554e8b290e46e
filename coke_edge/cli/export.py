"""`coke-edge export`: a checkpoint to one portable file whose accuracy was checked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from coke_edge.cli.export_report import show
from coke_edge.cli.next_step import next_step, say
from coke_edge.cli.split import SplitName
from coke_edge.errors import CokeError, ExportError

if TYPE_CHECKING:
    from rich.console import Console

    from coke_edge.export.clutter_report import Rows
    from coke_edge.export.crops import Crop
    from coke_edge.export.export import Exported
    from coke_edge.train.checkpoint import Checkpoint

app = typer.Typer()


class Format(str, Enum):
    """What is written."""

    bundle = "bundle"
    onnx = "onnx"
    triton_server = "triton-server"


@app.command("export")
def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="checkpoint, the run folder that holds it, or a bundle: for other precisions, targets or formats",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="bundle NAME.coke; or NAME.onnx; or the model repository")
    ],
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="bundle; onnx (standard operators, for any runtime); triton-server (NVIDIA Triton's repository)",
        ),
    ] = Format.bundle,
    precision: Annotated[
        str, typer.Option(help="fp32, fp16, int8, fp8, with commas; a bundle always has fp32")
    ] = "fp32",
    targets: Annotated[
        str,
        typer.Option(
            help="GPUs to add the head's kernels for, with commas: orin, h100, …; see kernels build"
        ),
    ] = "",
    plugin: Annotated[
        bool, typer.Option("--plugin", help="add the kernels as TensorRT takes them into an engine, too")
    ] = False,
    clutter: Annotated[
        str,
        typer.Option(
            help="rows of the clutter bank: auto (the fewest that change nothing), all, or a number"
        ),
    ] = "auto",
    data: Annotated[
        str | None, typer.Option(help="data set to check on; default: the one that the model was trained on")
    ] = None,
    split: Annotated[SplitName, typer.Option(help="part of the data set")] = SplitName.val,
    images: Annotated[Path | None, typer.Option(help="folder of images to check on instead")] = None,
    count: Annotated[int, typer.Option(min=1, help="images to check on, at most")] = 200,
    allow: Annotated[bool, typer.Option("--allow", help="keep graphs that fail the gate")] = False,
    peaks: Annotated[int | None, typer.Option(min=1, max=8, help="peaks kept per keypoint")] = None,
    keypoints: Annotated[
        str, typer.Option(help="only those whose names begin so, e.g. car/ of a model of several categories")
    ] = "",
    evaluation: Annotated[
        Path | None, typer.Option(help="evaluation.json of `eval --report`, for the model card")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print the verdicts as one JSON object")] = False,
) -> None:
    """Turn a model into a bundle, or into files for another runtime.

    Its graphs are first held against torch on real images: one that differs is left out and the exit code is 3; if it
    is the fp32 graph, no file is written.
    """
    from rich.console import Console

    from coke_edge.export.card import read_evaluation

    if data and images:
        raise ExportError("check on a data set (--data) or on a folder (--images), not on both")
    console = Console(stderr=True)
    names = split_names(precision)
    if format_ is not Format.bundle and is_bundle(model):
        if keypoints:
            raise ExportError(
                "a bundle holds its keypoints already: give --keypoints when you export its checkpoint"
            )
        rewrite(model, format_, out, names[0], console)
        return
    options: dict[str, Any] = {
        "precisions": names,
        "targets": split_names(targets) if targets else [],
        "plugin": plugin,
        "clutter": parse_rows(clutter),
        "allow": allow,
        "peaks": peaks,
        "keypoints": keypoints,
        "evaluation": read_evaluation(evaluation) if evaluation else None,
    }
    where = partial(images_to_check_on, data=data, split=split, images=images, count=count)
    if format_ is Format.bundle:
        exported = to_bundle(model, out, where, options, console)
        show(exported, out, json)
        say(console, f"Wrote {out} ({out.stat().st_size / 1e6:.1f} MB).")
        finish(exported)
        next_step(console, "detect", out, "--source", "IMAGE")
        return
    with tempfile.TemporaryDirectory() as temporary:
        bundle = Path(temporary) / f"{model_name(model, out, format_)}.coke"
        exported = to_bundle(model, bundle, where, options, console)
        show(exported, out, json)
        finish(exported)
        rewrite(bundle, format_, out, names[0], console)


def split_names(text: str) -> list[str]:
    """`fp32, fp16` → its parts. Raises ExportError if there is none."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ExportError(f"{text!r} names nothing; give one or more names with commas")
    return names


def parse_rows(text: str) -> Rows:
    """`auto`, `all` or a number. Raises ExportError if the text is something else."""
    if text in ("auto", "all"):
        return cast("Rows", text)
    if not text.isdecimal():
        raise ExportError(f"--clutter takes auto, all or a number of rows, not {text!r}")
    return int(text)


def is_bundle(path: Path) -> bool:
    """Whether a user means a bundle, not a checkpoint."""
    from coke_edge.bundle import DEMO

    return path.suffix == ".coke" or (str(path) == DEMO and not path.exists())


def model_name(model: Path, out: Path, format_: Format) -> str:
    """What a model is called that has no bundle to be called after."""
    if format_ is Format.onnx:
        return out.stem
    return model.parent.resolve().name if model.is_file() else model.resolve().name


def to_bundle(
    model: Path,
    out: Path,
    crops: Callable[[Checkpoint], Iterator[Crop]],
    options: Mapping[str, Any],
    console: Console,
) -> Exported:
    """Export a checkpoint or a bundle; errors as of `export_bundle`, `load_checkpoint` and `checkpoint_of`."""
    from coke_edge.bundle import Bundle
    from coke_edge.export.export import export_bundle
    from coke_edge.export.from_bundle import checkpoint_of
    from coke_edge.train.checkpoint import load_checkpoint

    loaded = checkpoint_of(Bundle(str(model))) if is_bundle(model) else load_checkpoint(model)
    with console.status("loading") as status:
        return export_bundle(loaded, out, crops(loaded), report=status.update, **options)


def rewrite(bundle: Path, format_: Format, out: Path, precision: str, console: Console) -> None:
    """The graph of a bundle for another runtime."""
    from coke_edge.bundle import Bundle
    from coke_edge.export.formats.plain import write_onnx
    from coke_edge.export.formats.triton_server import write_triton_server

    opened = Bundle(str(bundle))  # as text: "demo" is the one in the package
    if format_ is Format.onnx:
        written = " and ".join(map(str, write_onnx(opened, out, precision)))
    else:
        written = str(write_triton_server(opened, out, precision))
    say(console, f"Wrote {written}.")


def finish(exported: Exported) -> None:
    """Raises ExportError if a graph was left out."""
    from coke_edge.export.export import left_out

    if sentence := left_out(exported.verdicts):
        raise ExportError(sentence)


def images_to_check_on(
    checkpoint: Checkpoint, data: str | None, split: SplitName, images: Path | None, count: int
) -> Iterator[Crop]:
    """Crops of the folder, of the data set, or of the data set that the model was trained on."""
    from coke_edge.export.crops import dataset_crops, folder_crops
    from coke_edge.train.data import load_dataset

    size, layout = checkpoint.spec.input, checkpoint.spec.keypoints
    if images:
        return folder_crops(images, size, count)
    if data:
        return dataset_crops(load_dataset(data, split.value), size, count, layout)
    recorded = str(checkpoint.training.get("data", ""))
    ask = "name images to check the export on with --data SPEC or --images DIR"
    if not recorded:
        raise ExportError(f"the checkpoint does not record what it was trained on; {ask}")
    try:
        return dataset_crops(load_dataset(recorded, split.value), size, count, layout)
    except CokeError as error:
        raise ExportError(
            f"the model was trained on data that cannot be read here ({error}); {ask}"
        ) from error

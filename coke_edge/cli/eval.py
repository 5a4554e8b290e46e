"""`coke-edge eval`: how good a model is on annotated images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from coke_edge.cli.azimuth import AzimuthOption, with_azimuth
from coke_edge.cli.eval_tables import show
from coke_edge.cli.next_step import next_step, say
from coke_edge.cli.occlusion import (
    OccludersOption,
    OcclusionOption,
    Plan,
    SeedOption,
    levels_json,
    plan_occlusion,
    show_levels,
    warn_of_written_occluders,
)
from coke_edge.cli.split import SplitName
from coke_edge.errors import CokeError

app = typer.Typer()


@app.command("eval")
def evaluate_model(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="NAME.coke, demo, FILE.safetensors or a run folder")
    ],
    data: Annotated[str, typer.Option(help="data set, e.g. lsp:PATH, coco:FILE.json?images=DIR")],
    split: Annotated[SplitName, typer.Option(help="part of the data set")] = SplitName.test,
    backend: Annotated[
        str, typer.Option(help="auto; torch for checkpoints; onnxruntime, … for bundles")
    ] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, fp32, fp16, int8 or fp8; auto is the backend's, fp32 of a checkpoint")
    ] = "auto",
    accelerator: Annotated[
        str, typer.Option(help="where torch runs a checkpoint: auto, cpu or cuda")
    ] = "auto",
    thresholds: Annotated[
        str | None, typer.Option(help="PCK thresholds, e.g. 0.05,0.1,0.2 (in normalising lengths)")
    ] = None,
    include_hidden: Annotated[
        bool, typer.Option("--include-hidden", help="count keypoints annotated as hidden, too")
    ] = False,
    azimuth: AzimuthOption = None,
    occlusion: OcclusionOption = None,
    occluders: OccludersOption = None,
    seed: SeedOption = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="only the first so many objects")] = None,
    report: Annotated[
        Path | None, typer.Option(help="folder for curve, worst cases and all predictions")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
) -> None:
    """Measure a model on a data set.

    PCK for all keypoints and for each, visibility where the data set marks occlusion, and latency. With --occlusion the
    same under occluders: keypoints under one are scored for visibility, and for their place apart from the others.
    """
    from rich.console import Console

    chosen = parse_thresholds(thresholds)
    plan = plan_occlusion(occlusion, occluders, report, model)
    from coke_edge.train.data import load_dataset
    from coke_edge.train.evaluate import evaluate, open_model

    data = with_azimuth(data, azimuth)
    detector = open_model(model, backend, precision, accelerator)
    dataset = load_dataset(data, split.value)
    warn_of_written_occluders(data, model)
    console = Console(stderr=True)
    options: dict[str, Any] = {
        "thresholds": chosen,
        "include_hidden": include_hidden,
        "limit": limit,
        "model": model,
    }
    if plan is not None:
        from coke_edge.train.robustness import evaluate_levels

        results = evaluate_levels(detector, dataset, plan.levels, plan.occluders, seed, **options)
        if as_json:
            typer.echo(levels_json(results, plan, seed))
        else:
            show_levels(results, Console())
        next_step(console, *occlude_arguments(data, split, plan, seed))
        return
    result = evaluate(detector, dataset, **options)
    if as_json:
        typer.echo(json.dumps(result.to_json()))
    else:
        show(result, Console())
    if report is not None:
        from coke_edge.train.report import write_report

        written = write_report(report, result, dataset)
        say(console, f"Report: {', '.join(str(path) for path in written)}")
    next_step(console, *next_arguments(model, data, split, report))


def parse_thresholds(text: str | None) -> list[float] | None:
    """The numbers of "0.05,0.1"; raises CokeError unless all are positive."""
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(0 < value < float("inf") for value in values):
        raise CokeError(f"--thresholds takes positive numbers such as 0.1,0.2 (commas between), not {text!r}")
    return sorted(set(values))


def occlude_arguments(data: str, split: SplitName, plan: Plan, seed: int) -> tuple[object, ...]:
    """How the same images are written to disk."""
    levels = [level for level in plan.levels if level != "L0"] or ["L1"]
    folder = plan.occluders.text if plan.occluders else "PHOTOS"
    options = ("--levels", ",".join(levels), "--occluders", folder, "--seed", seed, "--split", split.value)
    return ("data", "occlude", data, "occluded", *options)


def next_arguments(model: str, data: str, split: SplitName, report: Path | None) -> tuple[str, ...]:
    """What a user is likely to want next."""
    if report is None:
        return ("eval", model, "--data", data, "--split", split.value, "--report", "report")
    if model.endswith(".safetensors") or Path(model).is_dir():
        return ("export", model, "-o", "model.coke")
    return ("detect", model, "--source", "IMAGE")

"""`coke-edge train`: annotated photos to a checkpoint."""

from __future__ import annotations

import contextlib
import inspect
import os
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from coke_edge.cli.azimuth import AzimuthOption, with_azimuth
from coke_edge.cli.next_step import next_step, say
from coke_edge.cli.tables import number
from coke_edge.errors import CokeError
from coke_edge.train.recipe import RECIPES, Recipe, make_recipe

app = typer.Typer()

INTERRUPTED = 130  # exit code, as a shell has it after Ctrl-C


def recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option per recipe key, so that the keys are written down once, in `Recipe`.

    The command receives those that the user set as `overrides`.
    """
    hints = typing.get_type_hints(Recipe, include_extras=True)
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "overrides"]
    own_hints = typing.get_type_hints(command, include_extras=True)
    options = []
    for field in msgspec.structs.fields(Recipe):
        kind, *meta = typing.get_args(hints[field.name])
        text = next(
            part.description for part in meta if part.description
        )  # limits stand in a Meta of their own
        help_text = text if field.default is None else f"{text} (edge: {shown(field.default)})"
        option = typer.Option(help=help_text, rich_help_panel="Recipe keys", show_default=False)
        annotation = Annotated[plain_type(kind) | None, option]  # type: ignore[valid-type]
        options.append(
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )

    def wrapper(**values: Any) -> None:
        keys = {o.name for o in options}
        overrides = {k: v for k, v in values.items() if k in keys and v is not None}
        command(**{k: v for k, v in values.items() if k not in keys}, overrides=overrides)

    parameters = [p.replace(annotation=own_hints[p.name], kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    wrapper.__signature__ = inspect.Signature([*parameters, *options])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in (*parameters, *options)}
    wrapper.__doc__ = command.__doc__
    return wrapper


def shown(default: Any) -> str:
    """A default as it is written in YAML."""
    return msgspec.json.encode(default).decode().strip('"')


def plain_type(kind: Any) -> type:
    """The type that the command line parses; a choice is text there, and the recipe checks it."""
    if typing.get_origin(kind) is typing.Literal:
        return str
    if type(None) in typing.get_args(kind):
        return str
    return kind  # type: ignore[no-any-return]


@app.command("train")
@recipe_options
def train(
    data: Annotated[str, typer.Option(help="data set, e.g. lsp:PATH, coco:FILE.json?images=DIR")] = "",
    out: Annotated[Path | None, typer.Option(help="run folder; default runs/<n>")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(RECIPES)}, or a YAML file with recipe keys; default edge"),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="run folder to continue, exactly where it stopped")
    ] = None,
    azimuth: AzimuthOption = None,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="stop when so many epochs are done; resume later")
    ] = None,
    devices: Annotated[
        int, typer.Option(help="how many GPUs of this machine train together; under torchrun leave it out")
    ] = 1,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
    *,
    overrides: dict[str, Any],
) -> None:
    """Train a model on a data set.

    Ctrl-C saves the run, and `--resume` continues it.
    """
    # What can be said at once is said before torch is imported, which takes seconds.
    if resume is not None and (data or recipe or overrides or out or azimuth):
        raise CokeError(
            "--resume continues a run as it was begun: give no data, azimuth, out, recipe or recipe keys with it"
        )
    if resume is None and not data:
        raise CokeError("say what to train on with --data, for example --data lsp:PATH")
    data = with_azimuth(data, azimuth)
    chosen = make_recipe(recipe or "edge", **overrides)

    if devices > 1 or "LOCAL_RANK" in os.environ:  # torch warns of what is meant so, in every process
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from coke_edge.train.cpu import prepare_cpu

    prepare_cpu()
    from coke_edge.train.processes import ToldByFirstError
    from coke_edge.train.run import continue_run, start_run

    with contextlib.suppress(ToldByFirstError):  # one process of several speaks
        if resume is not None:
            trainer = continue_run(resume, devices=devices, accelerator=accelerator)
        else:
            trainer = start_run(chosen, data, out, devices=devices, accelerator=accelerator)
        if trainer.processes.first:
            report(trainer, stop_after, as_json)
        else:
            trainer.fit(stop_after)


def report(trainer: Any, stop_after: int | None, as_json: bool) -> None:
    """Run the training under a progress bar; then say what came of it and what to do next."""
    from rich.console import Console

    from coke_edge.train.progress import ProgressBar

    console = Console(stderr=True)
    with ProgressBar(console, trainer.recipe.epochs) as bar:
        trainer.watcher = bar
        progress = trainer.fit(stop_after)
    folder = trainer.folder
    if as_json:
        import json

        typer.echo(json.dumps({"folder": str(folder), **progress.reported()}))
    if progress.finished:
        measured = f"PCK {progress.best_pck:.1f} on validation" if progress.best_pck >= 0 else "not validated"
        say(console, f"Best model: {folder / 'best.safetensors'} ({measured})")
        if trainer.recipe.method == "coke":
            next_step(console, "export", folder, "-o", "model.coke")
        else:  # a baseline is there to be measured
            next_step(console, "eval", folder, "--data", trainer.train_data.name)
    else:
        say(console, f"Stopped after {number(progress.epoch, 'epoch')}, saved in {folder}.")
        next_step(console, "train", "--resume", folder)
    if trainer.stop_asked and not progress.finished:
        raise typer.Exit(INTERRUPTED)

"""`coke-edge kernels`: compile the head's kernels for GPUs, and see what was compiled."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coke_edge.cli.next_step import next_step
from coke_edge.errors import CokeError
from coke_edge.kernels.targets import TARGETS, KernelError
from coke_edge.kernels.variants import DTYPES

if TYPE_CHECKING:
    from rich.table import Table

    from coke_edge.kernels.artifact import Artifact

GROUP = True
app = typer.Typer(help="Compile the head's kernels for GPUs ahead of time.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@app.command()
def build(
    targets: Annotated[str, typer.Option(help=f"One or more of {', '.join(TARGETS)}, with commas.")],
    out: Annotated[Path, typer.Option(help="Folder for the binaries and kernels.json.")],
    channels: Annotated[int, typer.Option(help="Channels of the features.")] = 128,
    dtypes: Annotated[
        str, typer.Option(help=f"Dtypes of the features: some of {', '.join(DTYPES)}, with commas.")
    ] = "fp16",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Targets at a time; one per CPU if not given.")
    ] = None,
    plugin: Annotated[
        bool, typer.Option("--plugin", help="Also those for coke-edge build --head plugin, in PTX.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compile every kernel for the named GPUs; no GPU is needed for it."""
    from rich.console import Console
    from rich.progress import Progress

    from coke_edge.kernels import aot

    names, kinds = (
        [name.strip() for name in option.split(",") if name.strip()] for option in (targets, dtypes)
    )
    console = Console(stderr=True)
    with told(), Progress(console=console, transient=True) as progress:
        task = progress.add_task("compiling", total=len(set(names)))
        artifact = aot.build(names, out, channels, kinds, jobs, lambda name: progress.advance(task), plugin)
    show(artifact, out, as_json)
    next_step(console, "kernels", "info", out)


@app.command()
def info(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `kernels build` wrote.")],
    as_json: JsonOption = False,
) -> None:
    """Show what a folder of compiled kernels holds; every binary is verified in any case."""
    from coke_edge.kernels import artifact as artifacts

    with told():
        artifact = artifacts.read(folder)
        for binary in artifact.binaries:
            artifacts.load(folder, binary)
    show(artifact, folder, as_json)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """A KernelError, which knows nothing of the command line, as the error that the command line prints."""
    try:
        yield
    except KernelError as error:
        raise CokeError(f"{error}.") from error


def show(artifact: Artifact, folder: Path, as_json: bool) -> None:
    """The manifest as one JSON object, or as a table."""
    import dataclasses
    import json

    from rich.console import Console

    if as_json:
        typer.echo(json.dumps({"path": str(folder), **dataclasses.asdict(artifact)}))
        return
    console = Console()
    console.print(table(artifact))
    size = sum(binary.size for binary in artifact.binaries)
    versions = ", ".join(f"{tool} {version}" for tool, version in artifact.versions.items())
    console.print(
        f"{len(artifact.binaries)} binaries, {size / 1e6:.1f} MB, compiled by {versions}", highlight=False
    )


def table(artifact: Artifact) -> Table:
    """One row for each binary."""
    from rich.table import Table

    grid = Table()
    for column in ("target", "kernel"):
        grid.add_column(column)
    for column in ("registers", "shared", "spills", "threads"):
        grid.add_column(column, justify="right")
    for column in ("tensor cores", "needs"):
        grid.add_column(column)
    for binary in artifact.binaries:
        numbers = [binary.registers, f"{binary.shared_memory:,}", binary.spills, binary.block]
        operations = ", ".join(f"{name} {count}" for name, count in binary.tensor_instructions.items())
        driver = f"PTX {binary.ptx / 10}" if binary.ptx else "CUDA 12" if binary.abi <= 7 else "CUDA 13"
        target = f"{binary.target} ({binary.capability / 10:.1f})"
        grid.add_row(target, binary.name, *map(str, numbers), operations or "–", driver)
    return grid

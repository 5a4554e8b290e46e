"""`coke-edge build`: a bundle's engine for the GPU of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coke_edge.cli.next_step import next_step, say
from coke_edge.errors import BackendError, CokeError

if TYPE_CHECKING:
    from rich.console import Console

    from coke_edge.engine.build import Progress
    from coke_edge.engine.obtain import Obtained
    from coke_edge.engine.spec import Batch
    from coke_edge.kernels.driver import Gpu

HEADS = {
    "kernels": "head in kernels",
    "standard": "head inside the engine",
    "plugin": "head in kernels inside the engine",
}

app = typer.Typer()


@app.command("build")
def build(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="bundle NAME.coke, or demo for the one in the package")
    ],
    precision: Annotated[
        str, typer.Option(help="auto (fp16 if the bundle has it, else fp32), fp16, fp32, int8 or fp8")
    ] = "auto",
    head: Annotated[
        str,
        typer.Option(
            help="auto, kernels (the engine ends at the features), standard (all in it), plugin (kernels in it)"
        ),
    ] = "auto",
    batch: Annotated[
        str, typer.Option(help="crops at a time: LARGEST, or SMALLEST,TYPICAL,LARGEST")
    ] = "1,1,8",
    workspace: Annotated[
        int | None, typer.Option(min=1, help="MiB of GPU memory that a layer may use; default: no limit")
    ] = None,
    provider: Annotated[str, typer.Option(help="auto, tensorrt or tensorrt-rtx")] = "auto",
    capability: Annotated[
        str | None,
        typer.Option(
            help="compute capability such as 8.9: build for it without that GPU (tensorrt-rtx, --out)"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="build even if the cache has the engine")] = False,
    out: Annotated[
        Path | None, typer.Option(help="folder for the engine and its .json; default: the engine cache")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Build the TensorRT engine of a bundle, or find it in ~/.cache/coke-edge/engines ($COKE_EDGE_CACHE/engines)."""
    from rich.console import Console

    from coke_edge.bundle import Bundle
    from coke_edge.engine.obtain import machine, obtain, wanted
    from coke_edge.engine.provider import AUTO, RTX, open_provider
    from coke_edge.engine.spec import choose

    sizes, aimed = parse_batch(batch), parse_capability(capability)
    if aimed and out is None:
        raise CokeError("--capability builds for another machine: give --out, the folder to take there")
    log = Console(stderr=True)
    opened = Bundle(bundle)
    package = open_provider(RTX if aimed and provider == AUTO else provider)
    gpu = None if aimed else this_gpu()
    target = aimed or gpu
    assert target is not None
    spec, reason = choose(opened, target, precision, head, sizes)
    if reason:
        say(log, f"The head runs in standard operators inside the engine, since {reason}.")
    want = wanted(opened, spec, machine(package, gpu, aimed), workspace, out)
    rebuild = "--force asks for it" if force else ""
    with shown(log) as progress:
        obtained = obtain(
            package, opened, want, notice=lambda text: say(log, text), here=gpu is not None, rebuild=rebuild,
            progress=progress,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(report(obtained)))
    else:
        show(Console(), obtained)
    warn(log, obtained, here=gpu is not None)
    if gpu:
        next_step(log, "detect", bundle, "--source", "IMAGE", "--backend", "tensorrt")
    else:
        say(log, f"Copy the files in {out} to ~/.cache/coke-edge/engines on the machine that has the GPU.")


def parse_batch(text: str) -> Batch:
    """`8` or `1,4,8`. Raises CokeError if the text is something else."""
    from coke_edge.engine.spec import Batch

    try:
        numbers = [int(part) for part in text.split(",")]
        smallest, typical, largest = (1, 1, *numbers) if len(numbers) == 1 else numbers
        return Batch(smallest, typical, largest)
    except ValueError:
        raise CokeError(
            f"--batch takes LARGEST or SMALLEST,TYPICAL,LARGEST, ascending from 1, as in 1,4,8, not {text!r}"
        ) from None


def parse_capability(text: str | None) -> int | None:
    """`8.9` → 89. Raises CokeError if the text is something else."""
    if text is None:
        return None
    major, _, minor = text.partition(".")
    if not (major.isdecimal() and minor.isdecimal() and len(minor) == 1):
        raise CokeError(f"--capability takes a compute capability such as 8.9, not {text!r}")
    return 10 * int(major) + int(minor)


def this_gpu() -> Gpu:
    """The GPU of this machine. Raises BackendError if there is none or no package that can ask for it."""
    from coke_edge.kernels.driver import open_driver
    from coke_edge.kernels.targets import KernelError

    try:
        driver = open_driver()
        gpu = driver.gpu
        driver.close()
    except KernelError as error:
        raise BackendError(
            f"an engine is built on the GPU that runs it: {error} "
            "(--provider tensorrt-rtx --capability builds for desktop GPUs without one)"
        ) from error
    return gpu


@contextmanager
def shown(console: Console) -> Iterator[Progress | None]:
    """The builder's phases as bars, one below the other, on a terminal; nothing elsewhere."""
    if not console.is_terminal:
        yield None
        return
    from rich import progress as rich

    with rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as bars:
        yield Bars(bars)


class Bars:
    """A bar for each phase that is under way, indented below its parent. Any thread may call Rich's methods."""

    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._tasks: dict[str, Any] = {}
        self._depths: dict[str, int] = {}

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """See `Progress`."""
        self._depths[phase] = self._depths.get(parent or "", -1) + 1
        self._tasks[phase] = self._bars.add_task("  " * self._depths[phase] + phase, total=steps)

    def step(self, phase: str, step: int) -> None:
        """See `Progress`."""
        if phase in self._tasks:
            self._bars.update(self._tasks[phase], completed=step + 1)

    def finish(self, phase: str) -> None:
        """See `Progress`."""
        if phase in self._tasks:
            self._bars.remove_task(self._tasks.pop(phase))


def report(obtained: Obtained) -> dict[str, Any]:
    """The engine as plain data."""
    import msgspec

    return {
        "engine": str(obtained.path),
        "built": obtained.built,
        **msgspec.to_builtins(obtained.sidecar),
    }


def show(console: Console, obtained: Obtained) -> None:
    """The engine for people."""
    sidecar = obtained.sidecar
    how = f"Built in {sidecar.seconds:.1f} s" if obtained.built else "The cache has it"
    spec, layers = sidecar.spec, sidecar.layers
    say(console, f"{how}: {obtained.path} ({sidecar.size / 1e6:.1f} MB)")
    batch = f"{spec.batch.smallest} to {spec.batch.largest} crops at a time, tuned for {spec.batch.typical}"
    say(console, f"{spec.precision}, {HEADS[spec.head]}, {batch}.")
    if layers:
        of_all, of_heavy = counted(layers.all), counted(layers.heavy)
        say(console, f"Precision as built: convolutions and matrix products {of_heavy}; all layers {of_all}.")


def counted(counts: dict[str, int]) -> str:
    """`52 in fp16, 3 in fp32`."""
    return ", ".join(f"{number} in {precision}" for precision, number in counts.items()) or "none"


def warn(console: Console, obtained: Obtained, here: bool) -> None:
    """Say so if the engine is not what was asked for, or if nobody knows."""
    sidecar = obtained.sidecar
    if sidecar.layers is None:
        why = f"{sidecar.machine.provider} tells nothing about them" if here else "that needs the GPU"
        say(console, f"The precision of its layers could not be read back: {why}.")
    elif sidecar.layers.lack(sidecar.spec.precision):
        say(
            console,
            f"Warning: the graph asks for {sidecar.spec.precision}, but no convolution or matrix product of this "
            "engine computes in it.",
        )

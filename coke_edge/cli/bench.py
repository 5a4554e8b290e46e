"""`coke-edge bench`: latency, stages, memory and accuracy of a model on this machine; and two such results compared."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from coke_edge.cli.next_step import next_step, say
from coke_edge.errors import CokeError

if TYPE_CHECKING:
    from rich.console import Console

    from coke_edge.benchmarks.bench.result import Result

GROUP = True
RESULT, AGAINST = "result.json", "against.json"
SLOWER = 1  # exit code of `compare --fail-if-slower`
MODES = {"back-to-back": "back to back", "paced": "paced"}


class WithDefault(TyperGroup):
    """A group whose first command may be left out: `bench BUNDLE` is `bench run BUNDLE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See click."""
        known = args and args[0] in self.commands
        return super().parse_args(ctx, args if known else ["run", *args])


app = typer.Typer(
    cls=WithDefault, help="Measure a model on this machine (bench BUNDLE), or compare two results."
)


@app.command("run")
def run(
    model: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE", help="NAME.coke, demo, or for torch FILE.safetensors or a run folder"
        ),
    ],
    backends: Annotated[
        str | None, typer.Option(help="e.g. onnxruntime,tensorrt; default: those that run here")
    ] = None,
    precisions: Annotated[
        str | None, typer.Option(help="e.g. fp32,int8; default: all that the model has for a backend")
    ] = None,
    batches: Annotated[str, typer.Option(help="objects per frame, e.g. 1,4")] = "1",
    threads: Annotated[str, typer.Option(help="threads of ONNX Runtime, e.g. 1,2; 0: as it likes")] = "0",
    modes: Annotated[
        str, typer.Option(help="back-to-back (as fast as it goes), paced (as a camera), or both")
    ] = "back-to-back,paced",
    fps: Annotated[float, typer.Option(min=1, help="frames per second of paced rows")] = 30.0,
    seconds: Annotated[float, typer.Option(min=0.01, help="time to measure each row for, at least")] = 5.0,
    source: Annotated[str, typer.Option(help="image, folder of images, or generated")] = "generated",
    cold: Annotated[
        int, typer.Option(min=0, help="fresh processes to time the first result of; 0: none")
    ] = 5,
    against: Annotated[
        str | None,
        typer.Option(metavar="BUNDLE", help="another model to measure in turns with it, and to compare with"),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="data set to measure accuracy on, e.g. lsp:PATH, of every row")
    ] = None,
    split: Annotated[str, typer.Option(help="part of the data set")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="only the first so many objects of it")] = None,
    out: Annotated[Path | None, typer.Option(help=f"folder for {RESULT}, with all raw samples")] = None,
    report: Annotated[bool, typer.Option("--report", help="write an HTML report into --out, too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
) -> None:
    """Measure what a user of a model will feel on this machine, and say exactly what was timed.

    Rows (backend × precision × batch × threads × mode) take turns, after a warm-up until their times are steady.
    `coke-edge bench compare A.json B.json` says whether two results differ by more than the noise; `--against` says it
    of two models that take turns call by call, so that what the machine does meanwhile happens to both.
    """
    if report and out is None:
        raise CokeError("--report needs a folder: add --out DIR")
    if out is not None:
        check_folder(out)
    import dataclasses

    from rich.console import Console

    from coke_edge.benchmarks.bench.run import measure_in_turns
    from coke_edge.benchmarks.bench.settings import Settings

    settings = Settings(
        model=model,
        backends=names(backends),
        precisions=names(precisions),
        batches=numbers("--batches", batches),
        threads=numbers("--threads", threads),
        modes=chosen_modes(modes),
        fps=fps,
        seconds=seconds,
        source=source,
        data=data,
        split=chosen_split(split),
        limit=limit,
        cold=cold,
    )
    models = [settings] if against is None else [settings, dataclasses.replace(settings, model=against)]
    log = Console(stderr=True)
    with log.status("Starting", refresh_per_second=0.5) as status:
        results = measure_in_turns(models, shlex.join(["coke-edge", *sys.argv[1:]]), status.update)
    if out is not None:
        write(results, out, report, log)
    show(results, as_json)
    if out is None:
        next_step(log, "bench", model, "--out", "DIR")
    else:
        next_step(log, "bench", "compare", out / RESULT, "OTHER.json")


@app.command("compare")
def compare(
    a: Annotated[Path, typer.Argument(metavar="A.json", help="the result to compare with")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="the result to judge")],
    fail_if_slower: Annotated[
        bool, typer.Option("--fail-if-slower", help=f"exit with {SLOWER} if anything in B is slower")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the verdicts as JSON")] = False,
) -> None:
    """Say of every row and stage in two results whether it differs by more than the noise.

    Exit codes: 0 compared, whatever came out; 1 something is slower, with --fail-if-slower; 2 the results were not
    measured alike.
    """
    from coke_edge.benchmarks.bench.compare import compare as judge
    from coke_edge.benchmarks.bench.result import read_result
    from coke_edge.benchmarks.bench.verdicts import to_json

    verdicts = judge(read_result(a), read_result(b))
    if as_json:
        typer.echo(to_json(verdicts).decode())
    else:
        from rich.console import Console

        from coke_edge.cli.bench_tables import show_verdicts

        show_verdicts(Console(), verdicts)
    if fail_if_slower and any(verdict.outcome == "slower" for verdict in verdicts):
        raise typer.Exit(SLOWER)


def show(results: list[Result], as_json: bool) -> None:
    """Print one result, or two with what sets the first apart from the second."""
    from coke_edge.benchmarks.bench.compare import compare as judge

    verdicts = judge(results[1], results[0]) if len(results) > 1 else []
    if as_json:
        import msgspec

        both = dict(zip(("result", "against"), results, strict=False)) | {"verdicts": verdicts}
        typer.echo(msgspec.json.encode(both if verdicts else results[0]).decode())
        return
    from rich.console import Console

    from coke_edge.cli.bench_tables import show as show_tables
    from coke_edge.cli.bench_tables import show_verdicts

    console = Console()
    for result in results:
        show_tables(console, result)
    if verdicts:
        say(console, "A is the model of --against, B the first one:")
        show_verdicts(console, verdicts)


def write(results: list[Result], out: Path, report: bool, log: Console) -> None:
    """All of them into a folder, and the first one as a page."""
    from coke_edge.benchmarks.bench.result import write_result

    for result, name in zip(results, (RESULT, AGAINST), strict=False):
        write_result(result, out / name)
        say(log, f"Result with all samples: {out / name}")
    if report:
        from coke_edge.benchmarks.report import write_report

        say(log, f"Report: {write_report(results[0], out)}")


def check_folder(folder: Path) -> None:
    """Raises CokeError if a folder can not be made or written to, before time is spent on what would go there."""
    import os

    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        problem = "is no folder" if not nearest.is_dir() else "is not yours to write to"
        raise CokeError(f"cannot write {folder / RESULT}: {nearest} {problem}; choose another --out")


def names(text: str | None) -> tuple[str, ...]:
    """The parts of "a,b", each once."""
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def numbers(option: str, text: str) -> tuple[int, ...]:
    """The numbers of "1,2". Raises CokeError if it is something else."""
    parts = names(text)
    if not parts or not all(part.isdecimal() for part in parts):
        raise CokeError(f"{option} takes numbers with commas between, as in 1,2, not {text!r}")
    return tuple(map(int, parts))


def chosen_modes(text: str) -> Any:
    """The modes as a result names them. Raises CokeError for others."""
    parts = names(text)
    if not parts or any(part not in MODES for part in parts):
        raise CokeError(f"--modes takes {', '.join(MODES)} or both with a comma between, not {text!r}")
    return tuple(MODES[part] for part in parts)


def chosen_split(text: str) -> Any:
    """A part of a data set. Raises CokeError for others."""
    if text not in ("train", "val", "test"):
        raise CokeError(f"--split takes train, val or test, not {text!r}")
    return text

"""`coke-edge detect`: keypoints in pictures and videos."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coke_edge.cli.next_step import next_step, say
from coke_edge.cli.tables import TIMED, keypoint_table, latency_sentence, number
from coke_edge.errors import CokeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from coke_edge.stream.frame import Result
    from coke_edge.stream.run import Summary

app = typer.Typer()

OUT = "out/"  # the sink where none is given
INTERRUPTED = 130  # exit code, as a shell has it after Ctrl-C


@app.command("detect")
def detect(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="bundle NAME.coke, or demo for the one in the package")
    ],
    source: Annotated[str, typer.Option(help="image, folder, glob or video file")],
    sink: Annotated[
        list[str] | None,
        typer.Option(help=f"out.png, {OUT}, out.mp4, out.jsonl or -; repeatable; default {OUT}"),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(help="x0,y0,x1,y1 of an object in frame pixels; repeatable; default: the whole frame"),
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="stop after so many frames")] = None,
    duration: Annotated[float | None, typer.Option(min=0, help="stop after so many seconds")] = None,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime or tensorrt")] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, fp32, fp16, int8 or fp8; auto is the backend's")
    ] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="threads of the backend; 0: as it likes")] = 0,
    names: Annotated[bool, typer.Option("--names", help="write the keypoints' names into pictures")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as one JSON object")] = False,
) -> None:
    """Detect keypoints in pictures or a video."""
    sinks = sink or [OUT]
    if as_json and "-" in sinks:
        raise CokeError("--json and --sink - both want standard output; give --sink a file")
    boxes = [parse_box(text) for text in box] if box else [None]

    from rich.console import Console
    from rich.progress import Progress

    from coke_edge.detector import Detector
    from coke_edge.stream.run import detect as detect_in
    from coke_edge.stream.run import run
    from coke_edge.stream.sinks import open_sink
    from coke_edge.stream.sources import open_source

    detector = Detector(bundle, backend, threads, precision)
    frames_in = open_source(source)
    painter = partial(paint, names=names)
    outputs = [open_sink(uri, painter, frames_in.frames_per_second) for uri in sinks]
    total = min((n for n in (frames_in.length, frames) if n is not None), default=None)
    log = Console(stderr=True)
    with Progress(console=log, transient=True, disable=total == 1 or not log.is_terminal) as progress:
        task = progress.add_task("Detecting", total=total)
        results = progress_through(progress, task, detect_in(detector, frames_in, boxes))
        summary = run(results, outputs, frames, duration)
    written = [name for output in outputs for name in output.written]
    if as_json:
        typer.echo(json.dumps(report(bundle, detector.backend.name, source, written, summary)))
    else:
        show(log if "-" in sinks else Console(), summary, written)
    if summary.ended == "end" and frames_in.length is not None and summary.frames < frames_in.length:
        say(
            log,
            f"Only {summary.frames} of the {frames_in.length} frames could be decoded: is {source} cut short?",
        )
    next_step(log, "detect", bundle, "--source", "VIDEO.mp4", "--sink", "out.mp4", "--sink", "out.jsonl")
    if summary.ended == "interrupt":
        raise typer.Exit(INTERRUPTED)


def parse_box(text: str) -> tuple[float, ...]:
    """Four numbers with commas between them. Raises CokeError if the text is something else."""
    try:
        box = tuple(float(part) for part in text.split(","))
    except ValueError:
        box = ()
    if len(box) != 4:
        raise CokeError(f"--box takes x0,y0,x1,y1 in pixels of the frame, as in 120,40,310,460, not {text!r}")
    return box


def paint(result: Result, names: bool) -> NDArray[np.uint8]:
    """The frame with all its objects on it."""
    from coke_edge.draw import draw

    image = result.frame.image
    for keypoints in result.objects:
        image = draw(image, keypoints, names)
    return image


def progress_through(progress: Progress, task: TaskID, results: Iterable[Result]) -> Iterator[Result]:
    """The results, counted on a progress bar when they have been dealt with."""
    for result in results:
        yield result
        progress.advance(task)


def report(bundle: str, backend: str, source: str, written: list[str], summary: Summary) -> dict[str, Any]:
    """The summary as plain data; `result` is that of the frame, if there was one alone."""
    single = summary.last if summary.frames == 1 else None
    return {
        "bundle": bundle,
        "backend": backend,
        "source": source,
        "sinks": written,
        "frames": summary.frames,
        "seconds": summary.seconds,
        "ended": summary.ended,
        "latency_ms": {**summary.latency_ms, "region": TIMED},
        "result": single.to_dict() if single else None,
    }


def show(console: Console, summary: Summary, written: list[str]) -> None:
    """The summary for people."""
    if summary.last is not None and summary.frames == 1:
        for keypoints in summary.last.objects:
            console.print(keypoint_table(keypoints, summary.last.frame.name))
    if summary.frames > 0:
        console.print(f"{latency_sentence(summary.latency_ms, summary.frames, warm=False)}: {TIMED}.")
    ended = " (interrupted)" if summary.ended == "interrupt" else ""
    frames = number(summary.frames, "frame")
    say(console, f"{frames} in {summary.seconds:.1f} s{ended} → {', '.join(written)}")

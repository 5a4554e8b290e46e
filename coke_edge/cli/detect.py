"""`coke-edge detect`: keypoints in pictures, videos and live cameras."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coke_edge.cli.detect_report import reconnects, report, show
from coke_edge.cli.next_step import next_step, say
from coke_edge.errors import CokeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

    from coke_edge.stream.delivery import Delivery, LiveDelivery
    from coke_edge.stream.frame import Result, Source
    from coke_edge.stream.heartbeat import Watched
    from coke_edge.stream.region import Region
    from coke_edge.stream.run import Summary

app = typer.Typer()
logger = logging.getLogger(__name__)

OUT = "out/"  # the sink where none is given
PAGE = "http://127.0.0.1:8080"  # the same for a live source, which would fill the disk with pictures
SINK_FAILED = 1  # exit code of a live run at whose end a sink did not work
INTERRUPTED = 130  # exit code, as a shell has it after Ctrl-C
TERMINAL_EVERY = 1.0  # seconds between the figures beside the progress bar


@app.command("detect")
def detect(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="bundle NAME.coke, or demo for the one in the package")
    ],
    source: Annotated[
        str,
        typer.Option(
            help="image, folder, glob or video file; 0 or /dev/video0 (webcam), csi://0, rtsp://…, http://… "
            "(MJPEG), gst:PIPELINE, - (raw frames on stdin) or test: (a moving pattern)"
        ),
    ],
    sink: Annotated[
        list[str] | None,
        typer.Option(
            help=f"out.png, {OUT}, out.mp4, out.jsonl, out.json (COCO), out.csv, udp://HOST:PORT, window:, "
            f"http://… (a page at that address) or -; repeatable; default {OUT}, for live sources {PAGE}"
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(help="x0,y0,x1,y1 of an object in frame pixels; repeatable; default: the whole frame"),
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="frame, track, or NAME.onnx: a detector that finds the boxes")
    ] = None,
    track: Annotated[
        bool, typer.Option("--track", help="follow each object from frame to frame; search again when lost")
    ] = False,
    smooth: Annotated[
        bool | None,
        typer.Option("--smooth/--no-smooth", help="One-Euro filter; default: for live sources alone"),
    ] = None,
    max_age: Annotated[
        float | None, typer.Option(min=0, help="skip live frames that waited for more seconds than this")
    ] = None,
    reconnect: Annotated[
        bool, typer.Option("--reconnect/--no-reconnect", help="wait for a camera that is lost, or end")
    ] = True,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="seconds of silence after which a camera counts as lost")
    ] = 10.0,
    frames: Annotated[int | None, typer.Option(min=1, help="stop after so many frames")] = None,
    duration: Annotated[float | None, typer.Option(min=0, help="stop after so many seconds")] = None,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime or tensorrt")] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, fp32, fp16, int8 or fp8; auto is the backend's")
    ] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="threads of the backend; 0: as it likes")] = 0,
    keypoints: Annotated[
        str, typer.Option(help="only those whose names begin so, e.g. car/ of a model of several categories")
    ] = "",
    names: Annotated[bool, typer.Option("--names", help="write the keypoints' names into pictures")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as one JSON object")] = False,
    json_log: Annotated[
        bool, typer.Option("--json-log", help="log on stderr as one JSON object a line, for services")
    ] = False,
    every: Annotated[
        float, typer.Option("--statistics", min=0.1, help="seconds between statistics in the JSON log")
    ] = 10.0,
) -> None:
    """Detect keypoints in pictures, a video or a live camera.

    Exit codes: 0 the run ended as asked; 1 a live run ended while a sink did not work; 2 something cannot be
    used, said in one sentence; 130 Ctrl-C or SIGTERM, with all files finished.
    """
    if as_json and "-" in (sink or []):
        raise CokeError("--json and --sink - both want standard output; give --sink a file")
    from rich.console import Console

    from coke_edge.detector import Detector
    from coke_edge.stream.delivery import deliver
    from coke_edge.stream.heartbeat import Watched
    from coke_edge.stream.log import logging_to
    from coke_edge.stream.run import detect as detect_in
    from coke_edge.stream.sinks import open_sink
    from coke_edge.stream.smoothing import OneEuro
    from coke_edge.stream.sources import open_source

    log = Console(stderr=True)
    with logging_to(print_line if json_log else partial(say, log), json_log), errors_logged(json_log):
        where = choose_region(region, box, track)
        detector = Detector(bundle, backend, threads, precision, keypoints)
        frames_in = open_source(source, reconnect=reconnect, timeout=timeout)
        live, painter = frames_in.live, partial(paint, names=names)
        uris = sink or [PAGE if live else OUT]
        outputs = deliver(
            {uri: partial(open_sink, uri, painter, frames_in.frames_per_second, live) for uri in uris}, live
        )
        watched = Watched(frames_in)
        smoothing = OneEuro() if (live if smooth is None else smooth) else None
        results = detect_in(detector, watched, where, smoothing, max_age)
        about = {"bundle": bundle, "backend": detector.backend.name, "source": source}
        logger.info("Detecting", extra={"event": "start", "fields": {**about, "sinks": uris, "live": live}})
        screen = None if json_log else log
        summary = run_all(results, watched, outputs, (frames, duration), screen, every)
        facts = about | report(summary, frames_in, outputs)
        logger.info("Stopped", extra={"event": "stop", "fields": facts})
    if as_json:
        typer.echo(json.dumps(facts))
    elif not json_log:
        show(log if "-" in uris else Console(), summary, frames_in, outputs)
    if not json_log:
        finish(log, bundle, source, frames_in, summary)
    if summary.ended == "interrupt":
        raise typer.Exit(INTERRUPTED)
    if outputs.failed:
        raise typer.Exit(SINK_FAILED)


def choose_region(region: str | None, box: list[str] | None, track: bool) -> Region:
    """Where to look. Raises CokeError if the options contradict each other."""
    from coke_edge.stream.region import open_region

    if region is not None and box:
        raise CokeError(
            "--box and --region both say where to look; give one, and --track to follow what is there"
        )
    return open_region([parse_box(text) for text in box] if box else region or "frame", track)


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


def run_all(
    results: Iterable[Result],
    source: Watched,
    outputs: Delivery | LiveDelivery,
    limits: tuple[int | None, float | None],
    screen: Console | None,
    every: float,
) -> Summary:
    """The run itself, with its signs of life: a progress bar on `screen`, statistics in the log, the watchdog."""
    from rich.progress import Progress

    from coke_edge.stream.heartbeat import Heartbeat
    from coke_edge.stream.run import run
    from coke_edge.stream.tally import Tally

    frames, duration = limits
    total = min((n for n in (source.length, frames) if n is not None), default=None)
    hidden = screen is None or total == 1 or not screen.is_terminal
    tally = Tally()
    with Progress(console=screen, transient=True, disable=hidden) as progress:
        task = progress.add_task("Detecting", total=total)

        def tell(line: str) -> None:
            progress.update(task, completed=tally.frames, description=line if source.live else "Detecting")

        def more() -> dict[str, Any]:
            return {
                "reconnects": reconnects(source),
                "sinks_lost": outputs.lost,
                "sinks_failed": outputs.failed,
            }

        beat = Heartbeat(source, tally, TERMINAL_EVERY if screen else every, more, tell)
        with contextlib.ExitStack() as stack:
            stack.callback(source.stop)
            stack.enter_context(beat)
            return run(tally.through(results, outputs.closed), [outputs], frames, duration, source.stop)


def finish(log: Console, bundle: str, source: str, frames_in: Source, summary: Summary) -> None:
    """What else people want to know: whether a video was cut short, and what to type next."""
    if summary.ended == "end" and frames_in.length is not None and summary.frames < frames_in.length:
        say(
            log,
            f"Only {summary.frames} of the {frames_in.length} frames could be decoded: is {source} cut short?",
        )
    if not frames_in.live:
        next_step(log, "detect", bundle, "--source", "VIDEO.mp4", "--sink", "out.mp4", "--sink", "out.jsonl")


def print_line(line: str) -> None:
    """A line of the log for machines."""
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def errors_logged(as_json: bool) -> Iterator[None]:
    """With a log for machines, an error is an event of it like any other."""
    try:
        yield
    except CokeError as error:
        if not as_json:
            raise
        logger.error("%s", error, extra={"event": "error"})
        raise typer.Exit(error.exit_code) from None

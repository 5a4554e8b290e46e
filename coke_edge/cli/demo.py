"""`coke-edge demo`: the model in the package on the picture in the package."""

from __future__ import annotations

import json
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coke_edge.cli.next_step import next_step, say
from coke_edge.cli.tables import TIMED, keypoint_table, latency_sentence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from coke_edge.detector import Detector

app = typer.Typer()

WARM_UP, RUNS = 3, 20


@app.command("demo")
def demo(
    out: Annotated[Path, typer.Option(help="where the annotated picture goes")] = Path("demo.png"),
    source: Annotated[Path | None, typer.Option(help="your own picture of one person; default: ours")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Detect a person's keypoints with the model in the package."""
    from rich.console import Console

    from coke_edge.detector import Detector
    from coke_edge.draw import draw
    from coke_edge.stream.images import read_image, write_image

    log = Console(stderr=True)
    detector = Detector("demo")
    picture, box = (source, None) if source else packaged_picture()
    image = read_image(picture)
    keypoints = detector(image, box)
    latency = measure(detector, image, box)
    write_image(out, draw(image, keypoints))
    if as_json:
        report = {
            "bundle": "demo",
            "backend": detector.backend.name,
            "source": str(picture),
            "out": str(out),
            **keypoints.to_dict(),
            "latency_ms": {**latency, "runs": RUNS, "region": TIMED},
        }
        typer.echo(json.dumps(report))
    else:
        console = Console()
        console.print(keypoint_table(keypoints, picture.name))
        console.print(f"{latency_sentence(latency, RUNS)}: {TIMED}, on {detector.backend.name}.")
        say(console, f"Annotated picture: {out}")
    next_step(log, "detect", "demo", "--source", "IMAGE", "--box", "x0,y0,x1,y1")
    say(log, "      coke-edge info demo")
    say(log, "      coke-edge train --help")


def packaged_picture() -> tuple[Path, tuple[float, ...]]:
    """The picture in the package and the box of the person in it."""
    assets = resources.files("coke_edge.assets")
    about: dict[str, Any] = json.loads((assets / "demo.json").read_text(encoding="utf-8"))
    return Path(str(assets / "demo.jpg")), tuple(about["box"])


def measure(detector: Detector, image: NDArray[np.uint8], box: tuple[float, ...] | None) -> dict[str, float]:
    """Milliseconds of `RUNS` detections, after a warm-up."""
    from coke_edge.stream.run import statistics

    milliseconds = []
    for i in range(WARM_UP + RUNS):
        start = time.perf_counter()
        detector(image, box)
        if i >= WARM_UP:
            milliseconds.append((time.perf_counter() - start) * 1000)
    return statistics(milliseconds)

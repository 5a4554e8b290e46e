"""The sinks of a soak run, and how a file that one has finished is read again."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coke_edge.benchmarks.soak.faults import FaultySink
from coke_edge.draw import draw
from coke_edge.stream.frame import Result, Sink
from coke_edge.stream.sinks import open_sink
from coke_edge.stream.sources import open_source


def sinks(folder: Path, seed: int, faults: Counter[str]) -> dict[str, Callable[[], Sink]]:
    """What opens each sink of the run."""

    def paint(result: Result) -> NDArray[np.uint8]:
        image = result.frame.image
        for keypoints in result.objects:
            image = draw(image, keypoints)
        return image

    def faulty(name: str, check: Callable[[Path], bool], rng: random.Random) -> Sink:
        return FaultySink(open_sink(str(folder / name), paint, None, live=True), rng, faults, check)

    def slow(rng: random.Random, result: Result) -> None:
        time.sleep(rng.expovariate(20))

    files = {
        "lines.jsonl": lines_parse,
        "table.csv": lambda path: path.stat().st_size > 0,
        "coco.json": list_parses,
        "video.mp4": video_plays,
        "latest.jpg": lambda path: any(True for _ in open_source(str(path))),
    }
    found: dict[str, Callable[[], Sink]] = {
        name: partial(faulty, name, check, random.Random(f"{seed}{name}")) for name, check in files.items()
    }
    found["slow"] = partial(open_sink, partial(slow, random.Random(seed)), paint)
    found["udp"] = partial(open_sink, "udp://127.0.0.1:9", paint)
    return found


def lines_parse(path: Path) -> bool:
    """Whether each line is a JSON object with increasing index."""
    with path.open() as file:
        indices = [json.loads(line)["index"] for line in file]
    return indices == sorted(set(indices))


def list_parses(path: Path) -> bool:
    """Whether the file is a JSON list."""
    return isinstance(json.loads(path.read_text()), list)


def video_plays(path: Path) -> bool:
    """Whether there is a frame in it."""
    return any(True for _ in open_source(str(path)))

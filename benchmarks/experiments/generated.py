"""A data set of our own for experiments: brackets on a workbench, and pieces of bare workbench as occluders.

It needs no download, and its pictures may be handed on. `python -m coke_edge.benchmarks.experiments.generated FOLDER`
makes it, in a process of its own that can be stopped.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coke_edge.errors import CokeError
from coke_edge.files import beside
from coke_edge.stream.images import write_image
from coke_edge.train.data.generated import write_generated
from coke_edge.train.data.scene import HEIGHT, WIDTH, Scene, render_scene

PICTURES, BENCHES = 400, 60
SEED_OF_BENCHES = 1  # not that of the pictures


def write_parts(folder: Path) -> None:
    """`parts/annotations.json` with its images, and `parts-benches/`; nothing is done where they are.

    Of two processes that begin at once, the second waits for the first. Raises DataError if there is something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_generated(folder / "parts", PICTURES)
        write_benches(folder / "parts-benches")


def write_benches(folder: Path) -> None:
    """Pictures of bare workbench, all of them or none."""
    if folder.exists():
        return
    unfinished = beside(folder)
    try:
        unfinished.mkdir()
        for number in range(BENCHES):
            scene = render_scene(np.random.default_rng([SEED_OF_BENCHES, number]))
            write_image(unfinished / f"{number:03d}.png", bare(scene))
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def bare(scene: Scene) -> NDArray[np.uint8]:
    """The largest strip [h, w, 3] of a picture beside its part."""
    x0, y0, x1, y1 = np.clip(np.rint(scene.box), 0, (WIDTH, HEIGHT, WIDTH, HEIGHT)).astype(int)
    strips = scene.image[:y0], scene.image[y1:], scene.image[:, :x0], scene.image[:, x1:]
    return max(strips, key=lambda strip: strip.shape[0] * strip.shape[1])


if __name__ == "__main__":
    try:
        write_parts(Path(sys.argv[1]))
    except CokeError as error:
        sys.exit(str(error))

"""Where runs are kept: `trained/` with a folder for each training, `results/` with a JSON file for each run.

A folder of `trained/` holds the definition of its training, the recipe as the trainer takes it, the log, and `run/`,
which is the trainer's own. It is found by what is defined, not by its name: several runs may share one training.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from coke_edge.benchmarks.experiments.definition import Run, Training, digest_of, same_training
from coke_edge.benchmarks.experiments.places import Places
from coke_edge.errors import CokeError
from coke_edge.files import replacing


class Cache:
    """A folder of finished and unfinished runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def results(self) -> Path:
        """The results of all finished runs."""
        return self.folder / "results"

    def place(self, run: Run) -> Path:
        """The folder of the run's training: the one that is there, or a new name."""
        for path in sorted((self.folder / "trained").glob("*/training.json")):
            if same_training(read_training(path), run.training):
                return path.parent
        name = f"{run.group}-{run.name}-seed{run.seed}-{digest_of(run.training)[:8]}"
        return self.folder / "trained" / name


def read_training(path: Path) -> Training:
    """Raises CokeError if the file holds no definition."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Training)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CokeError(f"{path} is no definition of a training ({error}): remove its folder") from None


def prepare(place: Path, run: Run, where: Places) -> None:
    """Write the definition of a training into its folder, and its recipe for the trainer."""
    recipe = {
        key: where.located(value) if isinstance(value, str) else value
        for key, value in run.training.recipe.items()
    }
    with replacing(place / "recipe.yaml") as file:
        file.write(msgspec.yaml.encode(recipe))
    with replacing(place / "training.json") as file:
        file.write(msgspec.json.encode(run.training))


@contextmanager
def locked(place: Path) -> Iterator[int | None]:
    """The descriptor of the lock on a folder, or None if another process holds it.

    A process that inherits the descriptor holds the lock, too: a trainer whose parent was killed keeps others away.
    """
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file.fileno()

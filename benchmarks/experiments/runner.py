"""Runs what is not done yet, one after the other; what fails is told and does not stop the others."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from coke_edge.benchmarks.experiments.cache import Cache, locked, prepare
from coke_edge.benchmarks.experiments.definition import Run
from coke_edge.benchmarks.experiments.figures import pck, shown
from coke_edge.benchmarks.experiments.places import Places
from coke_edge.benchmarks.experiments.process import Stop, last_words, run_process
from coke_edge.benchmarks.experiments.result import Result, finished, read_result, write_result
from coke_edge.errors import CokeError
from coke_edge.files import replacing

Say = Callable[[str], None]


class Failed(CokeError):  # noqa: N818  (it says what became of a run)
    """A process of a run ended with an error."""

    exit_code = 1


class Stopped(CokeError):  # noqa: N818  (as above)
    """The user asked for a stop; what was begun goes on with the next call."""

    exit_code = 130


class Runner:
    """The runs of one call.

    `published` is the folder of committed results, None to publish nothing; `retest` measures again what is done.
    """

    def __init__(
        self, cache: Cache, where: Places, published: Path | None, say: Say, *, retest: bool = False
    ) -> None:
        self.cache, self.where, self.published, self.say = cache, where, published, say
        self.retest = retest
        self.stop = Stop()

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where a finished result may be."""
        return (self.cache.results, *([self.published] if self.published else []))

    def run_all(self, runs: Sequence[Run]) -> list[str]:
        """Every run that is not done; returns what failed, a line each. Raises Stopped when asked to."""
        failed = []
        with self.stop.at_signals():
            for number, run in enumerate(runs, 1):
                self.say(f"[{number}/{len(runs)}] {run.key}")
                try:
                    self.run(run)
                except Stopped:
                    raise
                except (CokeError, OSError) as error:
                    failed.append(f"{run.key}: {error}")
                    self.say(f"  failed: {error}")
        return failed

    def run(self, run: Run) -> None:
        """Train and measure, or nothing where that is done. Raises Failed or Stopped."""
        if not self.retest and (done := finished(run, self.folders)):
            self.say("  done before")
            return self.publish(done)
        place = self.cache.place(run)
        with locked(place) as lock:
            if lock is None:
                self.say("  another process is at it")
                return None
            if "{generated}" in run.training.data:
                self.generate(place, lock)
            self.train(run, place, lock)
            self.measure(run, place, lock)
        result = read_result(self.cache.results / run.file)
        self.say(f"  {summary(result)}")
        return self.publish(result)

    def generate(self, place: Path, lock: int) -> None:
        """The generated data set, unless it is there."""
        module = "coke_edge.benchmarks.experiments.generated"
        self.process("making of the pictures", [module, self.where.generated], place, lock, lambda: None)

    def train(self, run: Run, place: Path, lock: int) -> None:
        """Begin the training, or go on where it stopped; one that came to its end is only looked at."""
        folder = place / "run"
        if (folder / "last.safetensors").exists():
            arguments = ["--resume", str(folder)]
        else:
            prepare(place, run, self.where)
            data = self.where.located(run.training.data)
            arguments = ["--data", data, "--recipe", str(place / "recipe.yaml"), "--out", str(folder)]
        watch = Watch(folder / "metrics.csv", int(run.training.recipe["epochs"]), self.say)
        self.process("training", ["coke_edge.cli", "train", *arguments], place, lock, watch)

    def measure(self, run: Run, place: Path, lock: int) -> None:
        """The test; its result appears in the cache."""
        definition = place / f"measured-{run.digest[:8]}.json"
        with replacing(definition) as file:
            file.write(msgspec.json.encode(run))
        out = self.cache.results / run.file
        module = "coke_edge.benchmarks.experiments.measure"
        data, generated = self.where
        folders = [*(["--data", data] if data else []), "--generated", generated]
        options = [*folders, "--trained", str(place / "run"), "--out", str(out)]
        self.process("test", [module, str(definition), *options], place, lock, lambda: None)

    def process(
        self, what: str, arguments: Sequence[str], place: Path, lock: int, look: Callable[[], None]
    ) -> None:
        """Raises Stopped or Failed if it does not end well."""
        log = place / "log.txt"
        before = log.stat().st_size if log.exists() else 0
        status = run_process(arguments, log, self.stop, [lock], look)
        if self.stop.asked:
            raise Stopped("stopped; the same command goes on from here")
        if status:
            raise Failed(
                f"the {what} ended with status {status}: {last_words(log, before)} (all of it in {log})"
            )

    def publish(self, result: Result) -> None:
        """Put a result beside the committed ones, and into the cache where it came from there."""
        for folder in self.folders:
            path = folder / result.run.file
            if not path.is_file() or read_result(path) != result:
                write_result(path, result)


class Watch:
    """Tells the validations of a training as they come."""

    def __init__(self, metrics: Path, epochs: int, say: Say) -> None:
        self.metrics, self.epochs, self.say = metrics, epochs, say
        self.told = len(self.rows())

    def __call__(self) -> None:
        rows = self.rows()
        for row in rows[self.told :]:
            if row.get("pck"):
                self.say(f"  epoch {row['epoch']}/{self.epochs}, PCK {float(row['pck']):.1f} on validation")
        self.told = max(self.told, len(rows))

    def rows(self) -> list[dict[str, str]]:
        """What is written so far; a last line that is still being written is left for the next look."""
        if not self.metrics.exists():
            return []
        text = self.metrics.read_text()
        return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))


def summary(result: Result) -> str:
    """PCK at the field's usual threshold, by part and level."""
    words = []
    for part, levels in result.figures.items():
        cells = [f"{name} {shown(pck(one))}" for name, one in levels.items()]
        words.append(f"{part + ': ' if part else ''}{', '.join(cells) or 'no object'}")
    return f"PCK {'; '.join(words)}"

"""What is done and what is not, and how long the rest will take, as far as runs on this machine tell."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coke_edge.benchmarks.experiments.cache import Cache
from coke_edge.benchmarks.experiments.definition import Run
from coke_edge.benchmarks.experiments.result import Result, finished, read_result


def listing(
    runs: Sequence[Run], cache: Cache, folders: tuple[Path, ...], machine: dict[str, Any]
) -> list[str]:
    """A line for each run, and one for all that is left."""
    done = {run.key: result for run in runs if (result := finished(run, folders))}
    known = [one for one in known_results(folders) if one.machine == machine]
    lines, left, unknown = [], 0.0, 0
    trained = [one.run.training for one in done.values()]  # … or by then: runs may share a training
    for run in runs:
        if run.key in done:
            lines.append(f"done     {run.key}")
            continue
        begun = (cache.place(run) / "run" / "last.safetensors").exists()
        seconds = estimate(run, known, run.training in trained)
        trained.append(run.training)
        left, unknown = left + (seconds or 0.0), unknown + (seconds is None)
        words = f"about {minutes(seconds)}" if seconds is not None else "no run like it on this machine yet"
        lines.append(f"{'begun   ' if begun else 'to do   '} {run.key}  ({words})")
    count = len(runs) - len(done)
    if count:
        without = f", without {unknown} that nothing is known of" if unknown else ""
        lines.append(f"{len(done)} of {len(runs)} done; {count} to do, about {minutes(left)}{without}")
    else:
        lines.append(f"all {len(runs)} done")
    return lines


def known_results(folders: tuple[Path, ...]) -> list[Result]:
    """All results, each once."""
    files = {path.name: path for folder in folders for path in sorted(folder.glob("*.json"))}
    return [read_result(path) for path in files.values()]


def estimate(run: Run, known: Sequence[Result], trained: bool) -> float | None:
    """Seconds, by the runs that train the same method on the same data; of a training that is there, its test alone."""
    alike = [one for one in known if kind(one.run) == kind(run)]
    if not alike:
        return None
    test = statistics.median(one.test_seconds for one in alike)
    if trained:
        return test
    epoch = statistics.median(one.trained.seconds / max(1, one.trained.epochs) for one in alike)
    return test + epoch * float(run.training.recipe["epochs"])


def kind(run: Run) -> tuple[Any, ...]:
    """What runs of about the same length agree in."""
    recipe = run.training.recipe
    return run.training.data, *(
        recipe[key] for key in ("method", "backbone", "width", "height", "stem_stride")
    )


def minutes(seconds: float) -> str:
    """Hours and minutes, rounded up."""
    whole = -(-round(seconds) // 60)
    return f"{whole // 60} h {whole % 60:02} min" if whole >= 60 else f"{whole} min"

"""What one run gave, as JSON: the figures, what they were made with, and nothing of the machine but its public side."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from coke_edge.benchmarks.experiments.definition import Run, same_run
from coke_edge.errors import CokeError
from coke_edge.files import replacing


class Level(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The figures of one part of the test at one level; percentages and AUROCs, None where there are none."""

    objects: int
    keypoints: int  # counted for their place: visible, and under no occluder
    covered: int  # keypoints under an occluder that are visible without
    normaliser: str
    pck: dict[str, float | None]  # by threshold
    left_right_forgiven: dict[str, float | None]
    keypoint_mean: dict[str, float | None]
    per_keypoint: dict[str, float | None]  # PCK at the usual threshold
    per_category: dict[str, float | None]  # the mean over a category's keypoints, at the usual threshold
    covered_auroc: float | None  # visible against covered keypoints, all together
    visibility_auroc: float | None  # visible against covered and annotated as hidden
    object_share: float | None  # of the objects that was covered, 0 … 1, mean
    unmet: int  # objects that could not be covered as far as they should
    covered_pck: dict[str, float | None] | None = (
        None  # of `covered`, by threshold; earlier results do not have it
    )


class Trained(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the training says of itself."""

    objects: int
    steps: int
    epochs: int
    seconds: float  # of optimiser steps and their data, in all attempts; no validation
    val_pck: dict[str, float | None]  # of the weights that were kept, before calibration
    parameters: int
    rule: str  # that the figures were measured with
    box_margin: float
    null_class: bool


class Result(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run."""

    kind: Literal["experiment"] = "experiment"
    run: Run
    digest: str  # of the run's definition
    trained: Trained
    figures: dict[str, dict[str, Level]]  # part → level; no level of a part that has no objects
    test_seconds: float
    machine: dict[str, Any]
    versions: dict[str, str]
    taken: str  # UTC


def read_result(path: Path) -> Result:
    """Raises CokeError if there is no such file or it is no result of a run."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except OSError as error:
        raise CokeError(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CokeError(f"{path} is no result of an experiment ({error}): remove it") from None


def write_result(path: Path, result: Result) -> None:
    """Whole or not at all."""
    text = msgspec.json.format(msgspec.json.encode(result), indent=1)
    with replacing(path) as file:
        file.write(text + b"\n")


def finished(run: Run, folders: tuple[Path, ...]) -> Result | None:
    """The result of a run in the first of `folders` that has it by the same definition; None if none has."""
    for folder in folders:
        path = folder / run.file
        if path.is_file():
            result = read_result(path)
            if same_run(result.run, run):
                return result
    return None

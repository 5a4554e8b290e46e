"""The figures that tables are made of: one number of one run, and what several seeds say together."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import NamedTuple

from coke_edge.benchmarks.experiments.result import Level
from coke_edge.train.metrics import USUAL_THRESHOLD

Figure = Callable[[Level], float | None]


def pck(level: Level) -> float | None:
    """PCK [%] at the field's usual threshold for the data set's measure."""
    return level.pck[USUAL_THRESHOLD[level.normaliser]]  # type: ignore[index]


def forgiven(level: Level) -> float | None:
    """The same, where a mirror keypoint counts as right."""
    return level.left_right_forgiven[USUAL_THRESHOLD[level.normaliser]]  # type: ignore[index]


def keypoint_mean(level: Level) -> float | None:
    """The mean over keypoints, then over categories."""
    return level.keypoint_mean[USUAL_THRESHOLD[level.normaliser]]  # type: ignore[index]


def covered_pck(level: Level) -> float | None:
    """PCK of the keypoints under an occluder."""
    return level.covered_pck and level.covered_pck[USUAL_THRESHOLD[level.normaliser]]  # type: ignore[index, return-value]


def auroc(level: Level) -> float | None:
    """Visible against covered keypoints, at the predicted places, all keypoints together."""
    return level.covered_auroc


class Spread(NamedTuple):
    """Several seeds of one figure."""

    mean: float
    deviation: float | None  # sample standard deviation; None of a single seed
    seeds: int


def spread(values: Iterable[float | None]) -> Spread | None:
    """None if there is no figure at all."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))


def shown(value: float | None, digits: int = 1) -> str:
    """A figure as text; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"

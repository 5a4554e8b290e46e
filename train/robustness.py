"""A detector under occlusion: one evaluation for each level of the protocol, on images made on the fly."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.detector import Detector
from coke_edge.train.data.sample import KeypointDataset, Sample
from coke_edge.train.evaluate import Evaluation, evaluate
from coke_edge.train.evaluation import plain
from coke_edge.train.occluders import Occluders
from coke_edge.train.occlusion_levels import covered_sample, occlude_sample


@dataclasses.dataclass(frozen=True, eq=False)
class LevelResult:
    """What a detector does at one level, and how much of the images was covered."""

    level: str
    evaluation: Evaluation
    object_share: dict[str, float]  # covered, 0 … 1: min, mean, max over the objects
    background_share: dict[str, float]
    unmet: int  # objects whose shares could not be met, such as those outside their frame

    def to_json(self) -> dict[str, Any]:
        """The figures of the evaluation, and these."""
        return {
            **self.evaluation.to_json(),
            "object_share": plain(self.object_share),
            "background_share": plain(self.background_share),
            "unmet": self.unmet,
        }


class LevelView:
    """A `View` that covers every sample to a level and keeps account of it."""

    def __init__(self, level: str, occluders: Occluders | None, seed: int) -> None:
        self.level, self.occluders, self.seed = level, occluders, seed
        self.shares: list[tuple[float, float]] = []
        self.unmet = 0

    def __call__(self, photo: NDArray[np.uint8], sample: Sample) -> tuple[NDArray[np.uint8], Sample]:
        occluded = occlude_sample(photo, sample, self.level, self.occluders, self.seed)
        self.shares.append((occluded.object_share, occluded.background_share))
        self.unmet += not occluded.met
        return occluded.image, covered_sample(sample, occluded.mask)


def evaluate_levels(
    detector: Detector,
    dataset: KeypointDataset,
    levels: Sequence[str],
    occluders: Occluders | None,
    seed: int = 0,
    **options: Any,
) -> list[LevelResult]:
    """Measure at every level; `options` are those of `evaluate`. Only L0 needs no `occluders`.

    Keypoints under an occluder count for visibility; their places are measured apart. Raises DataError as
    `evaluate` does, and if an occluder cannot be read.
    """
    results = []
    for level in levels:
        view = LevelView(level, occluders, seed)
        evaluation = evaluate(detector, dataset, view=view, **options)
        objects, backgrounds = np.array(view.shares).T
        results.append(LevelResult(level, evaluation, spread(objects), spread(backgrounds), view.unmet))
    return results


def spread(shares: NDArray[np.float64]) -> dict[str, float]:
    """Smallest, mean and largest; NaN if none is known."""
    known = shares[np.isfinite(shares)]
    if len(known) == 0:
        return dict.fromkeys(("min", "mean", "max"), float("nan"))
    return {"min": float(known.min()), "mean": float(known.mean()), "max": float(known.max())}

"""How accurate the artefact is whose latency is measured: the same bundle, backend and precision."""

from __future__ import annotations

import math

from coke_edge.benchmarks.bench.result import Accuracy
from coke_edge.benchmarks.bench.settings import Settings
from coke_edge.detector import Detector
from coke_edge.errors import DataError


def measure(detector: Detector, settings: Settings) -> Accuracy | None:
    """PCK at the data set's usual threshold; None if no data set was named.

    Raises DataError if the data set cannot be used or labels nothing that counts.
    """
    if settings.data is None:
        return None
    from coke_edge.train.data import load_dataset
    from coke_edge.train.evaluate import evaluate
    from coke_edge.train.metrics import USUAL_THRESHOLD

    dataset = load_dataset(settings.data, settings.split)
    threshold = USUAL_THRESHOLD[dataset.normaliser]
    found = evaluate(
        detector,
        dataset,
        thresholds=[float(threshold)],
        limit=settings.limit,
        progress=False,
        model=settings.model,
    )
    value = found.pck[threshold]
    if math.isnan(value):
        raise DataError(
            f"no keypoint in {settings.data} can be counted: its {dataset.normaliser} lengths are unknown"
        )
    return Accuracy(
        measure=f"PCK@{threshold} of the {dataset.normaliser}, visible keypoints",
        value=value,
        dataset=found.dataset,
        split=found.split,
        objects=found.objects,
    )

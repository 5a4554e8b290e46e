"""How accurate each contestant is, by the project's own PCK, over the joints that all of them find."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from coke_edge.benchmarks.bench.result import Accuracy
from coke_edge.benchmarks.peers.joints import COMMON, common
from coke_edge.benchmarks.peers.peer import Contestant, Float
from coke_edge.errors import DataError
from coke_edge.train import metrics
from coke_edge.train.data.images import ImageCache
from coke_edge.train.data.sample import KeypointDataset, Sample
from coke_edge.train.predictions import flags_of, truth_of

THRESHOLD = 0.2
VISIBLE, ALL = "visible", "visible and hidden"
FIRST = 100  # images that published figures of some of these networks are on: 1001 … 1100
MEASURE = f"PCK@{THRESHOLD} of the torso, {len(COMMON)} joints, {ALL}"


def predict(contestant: Contestant, samples: Sequence[Sample]) -> Float:
    """The common joints [n, 12, 2] in frame px that a contestant finds in the samples' boxes."""
    images = ImageCache()
    found = [contestant.stages(images.read(sample.image), sample.box)[0] for sample in samples]
    return common(np.stack(found), contestant.card.joints)


def percentages(found: Float, samples: Sequence[Sample], dataset: KeypointDataset) -> dict[str, float]:
    """PCK in percent of common joints [n, 12, 2], over visible ones and over all labelled ones.

    Raises DataError if none of them can be counted.
    """
    names, truth = dataset.keypoints.names, truth_of(samples)
    boxes = np.stack([sample.box for sample in samples])
    length = metrics.lengths("torso", truth, boxes, names, np.full(len(samples), math.nan))
    distance = metrics.distances(found, common(truth, names))
    places = [names.index(name) for name in COMMON]
    result = {}
    for measure in (VISIBLE, ALL):
        mask = metrics.counted(flags_of(samples), length, include_hidden=measure == ALL)[:, places]
        result[measure] = float(metrics.pck(distance, length, mask, [THRESHOLD]).percent[0])
    if any(math.isnan(value) for value in result.values()):
        raise DataError(f"no joint of {dataset.name} can be counted: its torso lengths are unknown")
    return result


def measure(contestant: Contestant, dataset: KeypointDataset) -> dict[str, dict[str, float]]:
    """PCK by number of samples and by what counts: over all samples and, if there are more, over the first hundred."""
    samples = dataset.samples
    found = predict(contestant, samples)
    counts = sorted({min(FIRST, len(samples)), len(samples)})
    return {str(n): percentages(found[:n], samples[:n], dataset) for n in counts}


def as_row(measured: dict[str, dict[str, float]], dataset: KeypointDataset) -> Accuracy:
    """What the row of a result has of it: over all samples, hidden joints too."""
    count = len(dataset.samples)
    return Accuracy(
        measure=MEASURE,
        value=measured[str(count)][ALL],
        dataset=dataset.name,
        split=dataset.split,
        objects=count,
    )

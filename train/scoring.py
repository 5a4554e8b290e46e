"""From predictions and annotations to figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coke_edge.train import metrics
from coke_edge.train.data.sample import HIDDEN, UNLABELLED, VISIBLE, KeypointDataset, Sample
from coke_edge.train.evaluation import Evaluation
from coke_edge.train.predictions import Float, Predictions, covered_flags, flags_of, truth_of


def score(
    predictions: Predictions,
    dataset: KeypointDataset,
    thresholds: Sequence[float],
    *,
    include_hidden: bool = False,
    model: str = "",
    backend: str = "",
) -> Evaluation:
    """Measure predictions on samples of `dataset`."""
    pairs = dataset.keypoints.flip_pairs
    distance, length, mask = measured(predictions, dataset, include_hidden)
    plain = metrics.pck(distance, length, mask, thresholds)
    truth = truth_of(predictions.samples)
    forgiven = metrics.pck(metrics.distances_forgiven(predictions.xy, truth, pairs), length, mask, thresholds)
    keys = [f"{t:g}" for t in thresholds]
    categories = by_category(predictions.samples, distance, length, mask, thresholds)
    timed = predictions.latency_ms
    return Evaluation(
        model=model,
        backend=backend,
        dataset=dataset.name,
        split=dataset.split,
        images=len({sample.image for sample in predictions.samples}),
        objects=len(predictions.samples),
        excluded=int(np.isnan(length).sum()),
        keypoints=int(plain.counts.sum()),
        include_hidden=include_hidden or dataset.counts_hidden,
        normaliser=dataset.normaliser,
        pck=by_threshold(keys, plain.percent),
        left_right_forgiven=by_threshold(keys, forgiven.percent),
        per_keypoint={
            name: {"pck": by_threshold(keys, plain.per_keypoint[:, k]), "count": int(plain.counts[k])}
            for k, name in enumerate(predictions.names)
        },
        keypoint_mean=by_threshold(
            keys, metrics.mean_over_keypoints(np.stack([one.mean for one in categories], 1))
        ),
        per_category={
            one.name: {
                "pck": by_threshold(keys, one.percent),
                "keypoint_mean": by_threshold(keys, one.mean),
                "objects": one.objects,
                "keypoints": one.keypoints,
            }
            for one in categories
        },
        left_out=dict(dataset.left_out),
        median_error_px=float(np.median(distance[mask])) if mask.any() else math.nan,
        visibility_auroc=visibility_auroc(predictions, dataset),
        covered=int((covered_flags(predictions.samples) == VISIBLE).sum()),
        covered_pck=by_threshold(keys, covered_pck(predictions, dataset, length, thresholds)),
        covered_auroc=covered_auroc(predictions),
        latency_ms={"median": float(np.median(timed)), "p95": float(np.quantile(timed, 0.95))},
        predictions=predictions,
    )


def measured(
    predictions: Predictions, dataset: KeypointDataset, include_hidden: bool = False
) -> tuple[Float, Float, NDArray[np.bool_]]:
    """Distances [n, K] in px, normalising lengths [n] in px, and which keypoints [n, K] count.

    Where each is measured, `measured_places` says.
    """
    samples = predictions.samples
    truth = truth_of(samples)
    length = metrics.lengths(
        dataset.normaliser,
        truth,
        np.stack([sample.box for sample in samples]),
        dataset.keypoints.names,
        [sample.meta.get("head_size", math.nan) for sample in samples],
    )
    mask = metrics.counted(flags_of(samples), length, include_hidden or dataset.counts_hidden)
    mask &= ~np.isin(dataset.keypoints.names, dataset.unscored)
    mask &= covered_flags(samples) == UNLABELLED
    return metrics.distances(measured_places(predictions), truth), length, mask


def measured_places(predictions: Predictions) -> Float:
    """[n, K, 2] where each keypoint's error is measured: a visible one in the first map, others at their place."""
    seen = flags_of(predictions.samples) == VISIBLE
    return np.where(seen[..., None], predictions.xy, predictions.places)


def covered_pck(
    predictions: Predictions, dataset: KeypointDataset, length: Float, thresholds: Sequence[float]
) -> Float:
    """PCK [T] of the keypoints that an occluder was pasted on and that would count without it, at their `places`."""
    mask = metrics.counted(covered_flags(predictions.samples), length)
    mask &= ~np.isin(dataset.keypoints.names, dataset.unscored)
    distance = metrics.distances(predictions.places, truth_of(predictions.samples))
    return metrics.pck(distance, length, mask, thresholds).percent


class CategoryScore(NamedTuple):
    """The objects of one category; percentages [T]."""

    name: str
    percent: Float  # over all counted keypoints together
    mean: Float  # over keypoints
    objects: int
    keypoints: int


def by_category(
    samples: Sequence[Sample],
    distance: Float,
    length: Float,
    mask: NDArray[np.bool_],
    thresholds: Sequence[float],
) -> list[CategoryScore]:
    """PCK of each category that the samples' meta names, in the order they come in."""
    category = np.array([str(sample.meta.get("category", "")) for sample in samples])
    scores = []
    for name in dict.fromkeys(category.tolist()):
        own = category == name
        found = metrics.pck(distance[own], length[own], mask[own], thresholds)
        mean = metrics.mean_over_keypoints(found.per_keypoint)
        scores.append(CategoryScore(name, found.percent, mean, int(own.sum()), int(found.counts.sum())))
    return scores


def visibility_auroc(predictions: Predictions, dataset: KeypointDataset) -> float:
    """How well the probability tells visible from hidden keypoints; NaN where either is not known."""
    flags = flags_of(predictions.samples)
    labelled = (flags == VISIBLE) | (flags == HIDDEN)
    calibrated = (predictions.visible > 0).any()  # else NaN, and 0 where there is no peak
    if not (dataset.marks_hidden and calibrated):
        return math.nan
    return metrics.auroc(predictions.visible[labelled], flags[labelled] == VISIBLE)


def covered_auroc(predictions: Predictions) -> float:
    """How well the probability tells visible keypoints from those that an occluder was pasted on."""
    visible = flags_of(predictions.samples) == VISIBLE
    told = visible | (covered_flags(predictions.samples) == VISIBLE)
    if not (predictions.visible > 0).any():  # not calibrated
        return math.nan
    return metrics.auroc(predictions.visible[told], visible[told])


def by_threshold(keys: Sequence[str], percent: Float) -> dict[str, float]:
    """{threshold: percent}."""
    return dict(zip(keys, percent.tolist(), strict=True))

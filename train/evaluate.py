"""A detector against a data set: the same code for every backend and every kind of model file."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coke_edge.detector import Detector
from coke_edge.errors import BackendError, DataError
from coke_edge.manifest import Keypoints2D
from coke_edge.train import metrics
from coke_edge.train.data.images import ImageCache
from coke_edge.train.data.joint import SEPARATOR
from coke_edge.train.data.sample import (
    COVERED,
    HIDDEN,
    UNLABELLED,
    VISIBLE,
    KeypointDataset,
    Normaliser,
    Sample,
)

THRESHOLDS = (0.05, 0.1, 0.2)
CACHE_BYTES = 32 * 2**20  # several objects of one image follow each other: decode it once

Float = NDArray[np.float64]
View = Callable[
    [NDArray[np.uint8], Sample], tuple[NDArray[np.uint8], Sample]
]  # (photo, sample) as they are shown


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """What a detector said about n objects with K keypoints."""

    samples: Sequence[Sample]  # n
    names: tuple[str, ...]  # K
    xy: Float  # [n, K, 2] frame px, NaN where there is no peak
    visible: Float  # [n, K] probability, NaN where unknown
    latency_ms: Float  # [n] from the decoded image to the keypoints

    def chosen(self, indices: NDArray[np.intp], names: Sequence[str]) -> Predictions:
        """Only these of the keypoints, under these names."""
        return dataclasses.replace(
            self, names=tuple(names), xy=self.xy[:, indices], visible=self.visible[:, indices]
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """The measured figures; percentages are over all counted keypoints together, NaN where there are none.

    Counted are the visible keypoints, and the hidden ones too if `include_hidden`, of all objects whose
    normalising length is known, less the keypoints that the data set's measure leaves out and those that an occluder
    was pasted on (train/occlusion_levels.py), which are scored for visibility alone.
    """

    model: str
    backend: str
    dataset: str
    split: str
    images: int
    objects: int
    excluded: int  # objects whose normalising length is 0 or unknown
    keypoints: int  # keypoints counted
    include_hidden: bool
    normaliser: Normaliser
    pck: dict[str, float]  # by threshold, in multiples of the normalising length
    left_right_forgiven: dict[str, float]  # the same, where a mirror keypoint counts as right
    per_keypoint: dict[str, dict[str, Any]]  # name → {"pck": {threshold: percent}, "count": n}
    keypoint_mean: dict[
        str, float
    ]  # PCK averaged over the keypoints of each category, then over the categories
    per_category: dict[
        str, dict[str, Any]
    ]  # name → pck, keypoint_mean, objects, keypoints; "" if it has no name
    left_out: dict[str, int]  # reason → objects that are not among the `objects`
    median_error_px: float  # of the counted keypoints; infinite if most have no peak
    visibility_auroc: float  # visible against hidden, at the predicted places; NaN if either is not known
    covered: int  # keypoints annotated as visible that an occluder was pasted on
    covered_auroc: (
        float  # visible against covered ones, at the predicted places; NaN if there are none or no P(visible)
    )
    latency_ms: dict[
        str, float
    ]  # median and 95th percentile of one object, from the decoded image to its keypoints
    predictions: Predictions = dataclasses.field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The figures as plain data, without the predictions; None for what JSON cannot hold."""
        figures = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del figures["predictions"]
        return {name: plain(value) for name, value in figures.items()}


def evaluate(
    detector: Detector,
    dataset: KeypointDataset,
    *,
    thresholds: Sequence[float] | None = None,
    include_hidden: bool = False,
    limit: int | None = None,
    progress: bool = True,
    model: str = "",
    view: View | None = None,
) -> Evaluation:
    """Run `detector` on the annotated boxes of (the first `limit` objects of) a data set, and measure.

    A model of several categories is measured on the keypoints of those that the data set holds.

    `thresholds` are multiples of the data set's normalising length; by default 0.05, 0.1, 0.2 and the field's
    usual one for that length. `progress` draws a bar on stderr; `model` is the name to report. `view` turns each photo
    and sample into what the detector is shown and measured on.

    Raises DataError if the keypoints are not the model's or an image cannot be read.
    """
    wanted = matching(detector.spec.keypoints, dataset)
    predictions = predict(detector, dataset.samples[:limit], progress=progress, view=view).chosen(
        wanted, dataset.keypoints.names
    )
    if thresholds is None:
        thresholds = sorted({*THRESHOLDS, float(metrics.USUAL_THRESHOLD[dataset.normaliser])})
    return score(
        predictions,
        dataset,
        thresholds,
        include_hidden=include_hidden,
        model=model,
        backend=detector.backend.name,
    )


def matching(model: Keypoints2D, dataset: KeypointDataset) -> NDArray[np.intp]:
    """For each of the data set's K keypoints, its index among the model's.

    They are the same ones in the same order, or, for a model of several categories (`car/left_front_wheel`), those of
    some of its categories. Raises DataError if they are not.
    """
    ours, theirs = model.names, dataset.keypoints.names
    if ours == theirs:
        return np.arange(len(ours))
    if any(SEPARATOR in name for name in ours):
        index = {name: k for k, name in enumerate(ours)}
        categories = {str(sample.meta.get("category", "")) for sample in dataset.samples}
        for prefix in ("", *(category + SEPARATOR for category in categories if len(categories) == 1)):
            if all(prefix + name in index for name in theirs):
                return np.array([index[prefix + name] for name in theirs])
    if len(ours) != len(theirs):
        raise DataError(
            f"the model finds {len(ours)} keypoints ({shorten(ours)}), but {dataset.name} labels "
            f"{len(theirs)} ({shorten(theirs)}): use a data set with the model's keypoints"
        )
    first = next(i for i in range(len(ours)) if ours[i] != theirs[i])
    raise DataError(
        f"keypoint {first} is {ours[first]} in the model, but {theirs[first]} in {dataset.name}: "
        "use a data set with the model's keypoints in the same order"
    )


def shorten(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def predict(
    detector: Detector, samples: Sequence[Sample], *, progress: bool = True, view: View | None = None
) -> Predictions:
    """Run a detector on every sample's box, one at a time, with the time that each took.

    The samples of the result are those that `view` made.
    """
    cache = ImageCache(CACHE_BYTES)
    count = len(detector.spec.keypoints.names)
    xy = np.full((len(samples), count, 2), np.nan)
    visible = np.full((len(samples), count), np.nan)
    latency = np.zeros(len(samples))
    shown = []
    if samples:  # the first call allocates and compiles: it is not timed
        detector(cache.read(samples[0].image), samples[0].box)
    for i, sample in enumerate(track(samples, progress)):
        frame = cache.read(sample.image)
        if view is not None:
            frame, sample = view(frame, sample)
        shown.append(sample)
        start = time.perf_counter()
        found = detector(frame, sample.box)
        latency[i] = 1e3 * (time.perf_counter() - start)
        xy[i], visible[i] = found.xy, found.visible
    return Predictions(shown, detector.spec.keypoints.names, xy, visible, latency)


def track(samples: Sequence[Sample], progress: bool) -> Iterable[Sample]:
    """The samples, with a progress bar on stderr while they are gone through."""
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    return rich_track(
        samples,
        description="Evaluating",
        console=console,
        disable=not (progress and console.is_terminal),  # elsewhere it would leave an empty line
        transient=True,
    )


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
        covered_auroc=covered_auroc(predictions),
        latency_ms={"median": float(np.median(timed)), "p95": float(np.quantile(timed, 0.95))},
        predictions=predictions,
    )


def truth_of(samples: Sequence[Sample]) -> Float:
    """The annotated positions [n, K, 2]."""
    return np.stack([sample.keypoints for sample in samples]).astype(np.float64)


def flags_of(samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """The visibility flags [n, K]."""
    return np.stack([sample.visibility for sample in samples])


def covered_flags(samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """The flags [n, K] that keypoints under a pasted occluder had before; UNLABELLED for all others."""
    return np.stack([sample.meta.get(COVERED, np.zeros_like(sample.visibility)) for sample in samples])


def measured(
    predictions: Predictions, dataset: KeypointDataset, include_hidden: bool = False
) -> tuple[Float, Float, NDArray[np.bool_]]:
    """Distances [n, K] in px, normalising lengths [n] in px, and which keypoints [n, K] count."""
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
    return metrics.distances(predictions.xy, truth), length, mask


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


def plain(value: Any) -> Any:
    """Numbers rounded to four decimals, None for NaN and infinity, the same inside dictionaries."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def open_model(
    path: str, backend: str = "auto", precision: str = "auto", accelerator: str = "auto"
) -> Detector:
    """A detector for a bundle (NAME.coke or `demo`) or a checkpoint (FILE.safetensors or a run folder).

    `backend` is auto, torch (checkpoints only) or a runtime backend; `precision` is that of a bundle's graph, or what a
    checkpoint's weights are rounded to; `accelerator` (auto, cpu, cuda) is where torch runs a checkpoint.

    Raises BundleError for a broken file and BackendError for a backend that cannot run it.
    """
    if not (path.endswith(".safetensors") or Path(path).is_dir()):
        if backend == "torch":
            raise BackendError(
                f"{path} is a bundle, which torch does not run: give its checkpoint, or another --backend"
            )
        if accelerator != "auto":
            raise BackendError(
                f"{path} is a bundle, whose backend is its accelerator: leave --accelerator out, and take --backend "
                "tensorrt for a GPU"
            )
        return Detector(path, backend, precision=precision)
    if backend not in ("auto", "torch"):
        raise BackendError(
            f"{path} is a checkpoint, which only torch runs: export it to a bundle first to use {backend}"
        )
    from coke_edge.train.accelerator import chosen, open_backend
    from coke_edge.train.checkpoint import load_checkpoint

    how = chosen(precision, accelerator)
    checkpoint = load_checkpoint(path)
    return Detector.from_backend(checkpoint.spec, open_backend(checkpoint, *how))

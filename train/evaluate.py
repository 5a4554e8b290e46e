"""A detector against a data set: the same code for every backend and every kind of model file."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coke_edge.detector import Detector
from coke_edge.errors import BackendError, DataError
from coke_edge.manifest import Keypoints2D
from coke_edge.train import metrics
from coke_edge.train.data.images import ImageCache
from coke_edge.train.data.sample import HIDDEN, VISIBLE, KeypointDataset, Normaliser, Sample

THRESHOLDS = (0.05, 0.1, 0.2)
CACHE_BYTES = 32 * 2**20  # several objects of one image follow each other: decode it once

Float = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """What a detector said about n objects with K keypoints."""

    samples: Sequence[Sample]  # n
    names: tuple[str, ...]  # K
    xy: Float  # [n, K, 2] frame px, NaN where there is no peak
    visible: Float  # [n, K] probability, NaN where unknown
    latency_ms: Float  # [n] from the decoded image to the keypoints


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """The measured figures; percentages are over all counted keypoints together, NaN where there are none.

    Counted are the visible keypoints, and the hidden ones too if `include_hidden`, of all objects whose
    normalising length is known.
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
    median_error_px: float  # of the counted keypoints; infinite if most have no peak
    visibility_auroc: float  # visible against hidden, at the predicted places; NaN if either is not known
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
) -> Evaluation:
    """Run `detector` on the annotated boxes of (the first `limit` objects of) a data set, and measure.

    `thresholds` are multiples of the data set's normalising length; by default 0.05, 0.1, 0.2 and the field's
    usual one for that length. `progress` draws a bar on stderr; `model` is the name to report.

    Raises DataError if the keypoints are not the model's or an image cannot be read.
    """
    check_keypoints(detector.spec.keypoints, dataset)
    predictions = predict(detector, dataset.samples[:limit], progress=progress)
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


def check_keypoints(model: Keypoints2D, dataset: KeypointDataset) -> None:
    """Raise DataError unless the data set labels the keypoints that the model finds, in the same order."""
    ours, theirs = model.names, dataset.keypoints.names
    if ours == theirs:
        return
    if len(ours) != len(theirs):
        raise DataError(
            f"the model finds {len(ours)} keypoints ({shorten(ours)}), but {dataset.name} labels "
            f"{len(theirs)} ({shorten(theirs)}): use a data set with the model's keypoints"
        )
    index = next(i for i in range(len(ours)) if ours[i] != theirs[i])
    raise DataError(
        f"keypoint {index} is {ours[index]} in the model, but {theirs[index]} in {dataset.name}: "
        "use a data set with the model's keypoints in the same order"
    )


def shorten(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def predict(detector: Detector, samples: Sequence[Sample], *, progress: bool = True) -> Predictions:
    """Run a detector on every sample's box, one at a time, with the time that each took."""
    cache = ImageCache(CACHE_BYTES)
    count = len(detector.spec.keypoints.names)
    xy = np.full((len(samples), count, 2), np.nan)
    visible = np.full((len(samples), count), np.nan)
    latency = np.zeros(len(samples))
    if samples:  # the first call allocates and compiles: it is not timed
        detector(cache.read(samples[0].image), samples[0].box)
    for i, sample in enumerate(track(samples, progress)):
        frame = cache.read(sample.image)
        start = time.perf_counter()
        found = detector(frame, sample.box)
        latency[i] = 1e3 * (time.perf_counter() - start)
        xy[i], visible[i] = found.xy, found.visible
    return Predictions(samples, detector.spec.keypoints.names, xy, visible, latency)


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
        include_hidden=include_hidden,
        normaliser=dataset.normaliser,
        pck=by_threshold(keys, plain.percent),
        left_right_forgiven=by_threshold(keys, forgiven.percent),
        per_keypoint={
            name: {"pck": by_threshold(keys, plain.per_keypoint[:, k]), "count": int(plain.counts[k])}
            for k, name in enumerate(predictions.names)
        },
        median_error_px=float(np.median(distance[mask])) if mask.any() else math.nan,
        visibility_auroc=visibility_auroc(predictions, dataset),
        latency_ms={"median": float(np.median(timed)), "p95": float(np.quantile(timed, 0.95))},
        predictions=predictions,
    )


def truth_of(samples: Sequence[Sample]) -> Float:
    """The annotated positions [n, K, 2]."""
    return np.stack([sample.keypoints for sample in samples]).astype(np.float64)


def flags_of(samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """The visibility flags [n, K]."""
    return np.stack([sample.visibility for sample in samples])


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
    mask = metrics.counted(flags_of(samples), length, include_hidden)
    return metrics.distances(predictions.xy, truth), length, mask


def visibility_auroc(predictions: Predictions, dataset: KeypointDataset) -> float:
    """How well the probability tells visible from hidden keypoints; NaN where either is not known."""
    flags = flags_of(predictions.samples)
    labelled = (flags == VISIBLE) | (flags == HIDDEN)
    calibrated = (predictions.visible > 0).any()  # else NaN, and 0 where there is no peak
    if not (dataset.marks_hidden and calibrated):
        return math.nan
    return metrics.auroc(predictions.visible[labelled], flags[labelled] == VISIBLE)


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


def open_model(path: str, backend: str = "auto", precision: str = "auto") -> Detector:
    """A detector for a bundle (NAME.coke or `demo`) or a checkpoint (FILE.safetensors or a run folder).

    `backend` is auto, torch (checkpoints only) or a runtime backend; `precision` is that of a bundle's graph, while a
    checkpoint runs in fp32.

    Raises BundleError for a broken file and BackendError for a backend that cannot run it.
    """
    if not (path.endswith(".safetensors") or Path(path).is_dir()):
        if backend == "torch":
            raise BackendError(
                f"{path} is a bundle, which torch does not run: give its checkpoint, or another --backend"
            )
        return Detector(path, backend, precision=precision)
    if backend not in ("auto", "torch"):
        raise BackendError(
            f"{path} is a checkpoint, which only torch runs: export it to a bundle first to use {backend}"
        )
    if precision not in ("auto", "fp32"):
        raise BackendError(
            f"{path} is a checkpoint, which runs in fp32: export it with `--precision {precision}` first"
        )
    from coke_edge.train.checkpoint import load_checkpoint
    from coke_edge.train.torch_backend import TorchBackend

    checkpoint = load_checkpoint(path)
    return Detector.from_backend(checkpoint.spec, TorchBackend(checkpoint))

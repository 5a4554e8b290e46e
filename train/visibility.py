"""What a trained model still needs before it is used: its box margin and score rule, and P(visible).

P(visible) = σ(a·s + b·c + d·ĉ + bias_k), fitted by regularised logistic regression on validation images as
they are and with synthetic occluders. Visible means annotated as visible and not covered; hidden means
covered or, where the data set marks it, annotated as hidden. The quantities are read where the model finds
the keypoint, right or wrong, as they are in use. The probability therefore refers to the mix of images that
it was fitted on: of three, one is as photographed and two have 10 to 30 and 30 to 60 % of the box covered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from coke_edge.detector import Detector
from coke_edge.kernels.spec import Rule
from coke_edge.manifest import ModelSpec, VisibilitySpec
from coke_edge.train import metrics
from coke_edge.train.data.images import ImageCache
from coke_edge.train.data.sample import HIDDEN, VISIBLE, KeypointDataset
from coke_edge.train.evaluate import evaluate
from coke_edge.train.occlusion import hide_covered, paste_occluders
from coke_edge.train.predictions import CACHE_BYTES
from coke_edge.train.torch_backend import Scorer, TorchBackend

RULES: tuple[Rule, ...] = get_args(Rule)
COVERAGES = ((0.0, 0.0), (0.1, 0.3), (0.3, 0.6))  # of the box; one pass over the images each
MAX_OBJECTS = 500  # more than this change neither choice nor fit
POOL = 48  # images of the data set that occluders are cut from if there are no photos
FOLDS = 5
# Precisions of the Gaussian priors of the fit, on standardised quantities.
SLOPE_PRECISION = 1.0  # next to nothing against hundreds of observations
BIAS_PRECISION = 10.0  # holds each keypoint's bias to the common one until some tens of observations speak

Float = NDArray[np.float64]
Image = NDArray[np.uint8]


class Candidate(NamedTuple):
    """A model under a specification that is being tried."""

    model: Scorer
    spec: ModelSpec

    def detector(self) -> Detector:
        """It, ready to run."""
        return Detector.from_backend(self.spec, TorchBackend(self))


class Observations(NamedTuple):
    """R keypoints as a detector found them."""

    quantities: Float  # [R, 3] similarity, clutter, soft clutter at the best peak
    keypoint: NDArray[np.int64]  # [R] 0 … K−1
    visible: NDArray[np.bool_]  # [R] the truth
    object: NDArray[np.int64]  # [R] number of the sample, the same under all occluders
    occluded: NDArray[np.bool_]  # [R] whether the image had occluders pasted on

    def take(self, rows: NDArray[np.bool_]) -> Observations:
        """Some of them."""
        columns: list[NDArray[Any]] = [column[rows] for column in self]
        return Observations(*columns)


def calibrate(
    model: Scorer,
    spec: ModelSpec,
    dataset: KeypointDataset,
    photos: Sequence[Image] | None = None,
    seed: int = 0,
    rules: Sequence[Rule] = RULES,
    margins: Sequence[float] = (),
) -> tuple[ModelSpec, dict[str, Any]]:
    """`spec` with the best of `margins` and `rules` and a fitted visibility, and the figures behind them.

    `photos`, uint8 [h, w, 3] BGR, are what occluders are cut from; None takes other images of `dataset`. Give
    one rule to keep it, and no margins to keep the margin. Visibility stays None if all observed keypoints
    are visible, or none.
    """
    dataset = at_most(MAX_OBJECTS, dataset, seed)
    figures: dict[str, Any] = {}
    if margins:
        spec, figures["pck_by_margin"] = choose_margin(model, spec, dataset, margins)
    spec, figures["pck_by_rule"] = choose_rule(model, spec, dataset, rules)
    seen = observe(Candidate(model, spec).detector(), dataset, photos, seed)
    figures |= {"rule": spec.head.rule, "margin": spec.input.box_margin}
    fitted = None
    if seen.visible.any() and not seen.visible.all():
        fitted = fit(seen, len(spec.keypoints.names))
        figures["visibility"] = cross_validate(seen, len(spec.keypoints.names), seed)
    return msgspec.structs.replace(spec, visibility=fitted), figures


def at_most(count: int, dataset: KeypointDataset, seed: int) -> KeypointDataset:
    """The data set, or a random part of it if it has more than `count` samples."""
    if len(dataset.samples) <= count:
        return dataset
    chosen = np.sort(np.random.default_rng(seed).choice(len(dataset.samples), count, replace=False))
    return dataclasses.replace(dataset, samples=[dataset.samples[i] for i in chosen])


def choose_rule(
    model: Scorer, spec: ModelSpec, dataset: KeypointDataset, rules: Sequence[Rule] = RULES
) -> tuple[ModelSpec, dict[str, float]]:
    """`spec` with the rule of the best PCK at the usual threshold (the first on a tie), and PCK by rule."""
    specs = [msgspec.structs.replace(spec, head=dataclasses.replace(spec.head, rule=rule)) for rule in rules]
    best, pck = best_of(model, specs, dataset)
    return specs[best], dict(zip(rules, pck, strict=True))


def choose_margin(
    model: Scorer, spec: ModelSpec, dataset: KeypointDataset, margins: Sequence[float]
) -> tuple[ModelSpec, dict[str, float]]:
    """`spec` with the margin of the best PCK (the first on a tie), and PCK by margin.

    Training shows the object at many sizes; which of them the network reads best is not the middle one.
    """
    inputs = [msgspec.structs.replace(spec.input, box_margin=margin) for margin in margins]
    specs = [msgspec.structs.replace(spec, input=size) for size in inputs]
    best, pck = best_of(model, specs, dataset)
    return specs[best], {f"{margin:g}": value for margin, value in zip(margins, pck, strict=True)}


def best_of(model: Scorer, specs: Sequence[ModelSpec], dataset: KeypointDataset) -> tuple[int, list[float]]:
    """Which specification has the best PCK at the usual threshold, and the PCK of all."""
    threshold = metrics.USUAL_THRESHOLD[dataset.normaliser]
    pck = [
        evaluate(Candidate(model, spec).detector(), dataset, progress=False).pck[threshold] for spec in specs
    ]
    return int(np.argmax(np.nan_to_num(pck, nan=-1.0))), np.round(pck, 3).tolist()


def observe(
    detector: Detector, dataset: KeypointDataset, photos: Sequence[Image] | None = None, seed: int = 0
) -> Observations:
    """Run a detector over the data set once per entry of `COVERAGES`; what has no peak is left out."""
    rows: list[Observations] = []
    for number, occluded, image, flags in occluded_images(dataset, photos, seed):
        sample = dataset.samples[number]
        found = detector(image, sample.box)
        quantities = np.stack([found.similarity, found.clutter, found.soft_clutter], axis=1)
        labelled = (flags == VISIBLE) | (flags == HIDDEN)
        if not dataset.marks_hidden:
            labelled &= sample.visibility == VISIBLE
        known = np.flatnonzero(labelled & np.isfinite(quantities).all(axis=1))
        rows.append(
            Observations(
                quantities[known],
                known,
                flags[known] == VISIBLE,
                np.full(len(known), number),
                np.full(len(known), occluded),
            )
        )
    return Observations(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def occluded_images(
    dataset: KeypointDataset, photos: Sequence[Image] | None, seed: int
) -> Iterator[tuple[int, bool, Image, NDArray[np.uint8]]]:
    """(number of the sample, whether occluded, image, visibility flags [K]) for every coverage and sample."""
    cache = ImageCache(CACHE_BYTES)
    pool = [] if photos is not None else sorted({sample.image for sample in dataset.samples})
    pool = [pool[i] for i in np.random.default_rng(seed).permutation(len(pool))[:POOL]]
    own = {path: cache.read(path) for path in pool}
    for level, coverage in enumerate(COVERAGES):
        for number, sample in enumerate(dataset.samples):
            image = cache.read(sample.image)
            if coverage[1] == 0:
                yield number, False, image, sample.visibility
                continue
            others = [photo for path, photo in own.items() if path != sample.image]
            rng = np.random.default_rng([seed, level, number])
            image, mask = paste_occluders(
                image, sample.box, rng, others if photos is None else photos, coverage
            )
            yield number, True, image, hide_covered(sample.keypoints, sample.visibility, mask)


def fit(seen: Observations, keypoints: int) -> VisibilitySpec:
    """Logistic regression with one bias per keypoint, each shrunk to the common one."""
    from scipy.optimize import minimize
    from scipy.special import expit

    mean, spread = seen.quantities.mean(axis=0), seen.quantities.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)  # a constant quantity (an empty clutter bank) gets no slope
    x = (seen.quantities - mean) / spread
    sign = np.where(seen.visible, 1.0, -1.0)
    precision = np.array([SLOPE_PRECISION] * 3 + [0.0] + [BIAS_PRECISION] * keypoints)

    def loss(parameters: Float) -> tuple[float, Float]:
        margin = sign * (x @ parameters[:3] + parameters[3] + parameters[4:][seen.keypoint])
        pull = -sign * expit(-margin)  # derivative of the loss by the logit
        own = np.bincount(seen.keypoint, weights=pull, minlength=keypoints)
        gradient = np.concatenate([x.T @ pull, [pull.sum()], own]) + precision * parameters
        value = np.logaddexp(0.0, -margin).sum() + 0.5 * (precision * parameters**2).sum()
        return float(value), gradient

    best = minimize(loss, np.zeros(4 + keypoints), jac=True, method="L-BFGS-B").x
    slopes = best[:3] / spread
    bias = best[3] + best[4:] - slopes @ mean
    a, b, c = slopes.tolist()
    return VisibilitySpec(a, b, c, tuple(bias.tolist()))


def probability(spec: VisibilitySpec, seen: Observations) -> Float:
    """P(visible) [R] of observations, as the decode computes it."""
    from scipy.special import expit

    slopes = np.array([spec.similarity, spec.clutter, spec.soft_clutter])
    return np.asarray(expit(seen.quantities @ slopes + np.asarray(spec.bias)[seen.keypoint]))


def cross_validate(seen: Observations, keypoints: int, seed: int = 0) -> dict[str, Any]:
    """How good the probability is on objects that it was not fitted on; empty for fewer than two objects."""
    objects = np.unique(seen.object)
    folds = min(FOLDS, len(objects))
    if folds < 2:
        return {}
    fold_of = np.zeros(objects.max() + 1, dtype=int)
    fold_of[np.random.default_rng(seed).permutation(objects)] = np.arange(len(objects)) % folds
    fold = fold_of[seen.object]
    predicted = np.zeros(len(fold))
    for i in range(folds):
        predicted[fold == i] = probability(fit(seen.take(fold != i), keypoints), seen.take(fold == i))
    pasted = seen.occluded
    figures = {
        "auroc": metrics.auroc(predicted, seen.visible),
        "auroc_occluded": metrics.auroc(predicted[pasted], seen.visible[pasted]),
        "brier": metrics.brier(predicted, seen.visible),
        "calibration_error": metrics.calibration_error(predicted, seen.visible),
        "hidden_share": 1 - float(seen.visible.mean()),
    }
    return {
        "observations": len(fold),
        **{name: round(value, 4) if np.isfinite(value) else None for name, value in figures.items()},
    }

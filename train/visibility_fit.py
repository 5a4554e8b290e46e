"""P(visible) from observations: a logistic regression, and how far it can be believed.

    P(visible) = σ(a·s + b·c + d·ĉ + f·e + g·h + bias_k)

s, c, ĉ are read at the best peak, e around several and h, where hidden keypoints have maps of their own, around several
there (`manifest.EvidenceSpec`; NOTES-visibility has what they give). Where e is there and c and ĉ add next to nothing
to it, they get no slope: a bundle may then do with few clutter rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coke_edge.manifest import EvidenceSpec, VisibilitySpec
from coke_edge.train import metrics

FOLDS = 5
CLUTTER_GIVES = 0.02  # share of the log loss that c and ĉ have to take away beside e
CLUTTER = slice(1, 3)  # c and ĉ among the quantities
# Precisions of the Gaussian priors of the fit, on standardised quantities.
SLOPE_PRECISION = 1.0  # next to nothing against hundreds of observations
BIAS_PRECISION = 10.0  # holds each keypoint's bias to the common one until some tens of observations speak

Float = NDArray[np.float64]


class Observations(NamedTuple):
    """R keypoints as a detector found them."""

    quantities: Float  # [R, Q] what P(visible) is judged by (`decode.readings`)
    keypoint: NDArray[np.int64]  # [R] 0 … K−1
    visible: NDArray[np.bool_]  # [R] the truth
    object: NDArray[np.int64]  # [R] number of the sample, the same under all occluders
    occluded: NDArray[np.bool_]  # [R] whether the image had occluders pasted on

    def take(self, rows: NDArray[np.bool_]) -> Observations:
        """Some of them."""
        columns: list[NDArray[Any]] = [column[rows] for column in self]
        return Observations(*columns)

    def without_clutter(self) -> Observations:
        """The same with c = ĉ = 0, so that a fit gives them no slope."""
        quantities = self.quantities.copy()
        quantities[:, CLUTTER] = 0.0
        return self._replace(quantities=quantities)


def fit_simplest(
    seen: Observations, keypoints: int, evidence: EvidenceSpec, seed: int = 0
) -> tuple[VisibilitySpec, dict[str, Any]]:
    """The fit, and `cross_validate`'s figures of it: without c and ĉ unless they take `CLUTTER_GIVES` off the log loss.

    They stay if there are too few objects to tell.
    """
    plain = seen.without_clutter()
    full, simple = (cross_validate(some, keypoints, evidence, seed) for some in (seen, plain))
    if not simple or full["log_loss"] < (1 - CLUTTER_GIVES) * simple["log_loss"]:
        return fit(seen, keypoints, evidence), full
    return fit(plain, keypoints, evidence), simple


def fit(seen: Observations, keypoints: int, evidence: EvidenceSpec | None = None) -> VisibilitySpec:
    """Logistic regression with one bias per keypoint, each shrunk to the common one.

    `evidence` is how the quantities behind the third were read; None says that there are none.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    count = seen.quantities.shape[1]
    mean, spread = seen.quantities.mean(axis=0), seen.quantities.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)  # a constant quantity (an empty clutter bank) gets no slope
    x = (seen.quantities - mean) / spread
    sign = np.where(seen.visible, 1.0, -1.0)
    precision = np.array([SLOPE_PRECISION] * count + [0.0] + [BIAS_PRECISION] * keypoints)

    def loss(parameters: Float) -> tuple[float, Float]:
        margin = sign * (x @ parameters[:count] + parameters[count] + parameters[count + 1 :][seen.keypoint])
        pull = -sign * expit(-margin)  # derivative of the loss by the logit
        own = np.bincount(seen.keypoint, weights=pull, minlength=keypoints)
        gradient = np.concatenate([x.T @ pull, [pull.sum()], own]) + precision * parameters
        value = np.logaddexp(0.0, -margin).sum() + 0.5 * (precision * parameters**2).sum()
        return float(value), gradient

    best = minimize(loss, np.zeros(count + 1 + keypoints), jac=True, method="L-BFGS-B").x
    slopes = best[:count] / spread
    bias = best[count] + best[count + 1 :] - slopes @ mean
    return VisibilitySpec(0.0, 0.0, 0.0, (), evidence).with_slopes(slopes, bias)


def probability(spec: VisibilitySpec, seen: Observations) -> Float:
    """P(visible) [R] of observations, as the decode computes it."""
    from scipy.special import expit

    return np.asarray(expit(seen.quantities @ np.asarray(spec.slopes) + np.asarray(spec.bias)[seen.keypoint]))


def cross_validate(
    seen: Observations, keypoints: int, evidence: EvidenceSpec | None = None, seed: int = 0
) -> dict[str, Any]:
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
        fitted = fit(seen.take(fold != i), keypoints, evidence)
        predicted[fold == i] = probability(fitted, seen.take(fold == i))
    pasted = seen.occluded
    figures = {
        "auroc": metrics.auroc(predicted, seen.visible),
        "auroc_occluded": metrics.auroc(predicted[pasted], seen.visible[pasted]),
        "log_loss": metrics.log_loss(predicted, seen.visible),
        "brier": metrics.brier(predicted, seen.visible),
        "calibration_error": metrics.calibration_error(predicted, seen.visible),
        "hidden_share": 1 - float(seen.visible.mean()),
    }
    return {
        "observations": len(fold),
        **{name: round(value, 4) if np.isfinite(value) else None for name, value in figures.items()},
    }

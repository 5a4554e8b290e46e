"""P(visible) moved from one clutter bank to another, without labels.

    minimise  Σ_i [ p_i (1 − p_i) (ℓ_i − w·r_i − v − bias_k(i)) ]²      over w, v

ℓ_i and p_i are logit and probability with the old bank; the quantities r_i that the probability reads (s, c, ĉ and
perhaps e) come from the new one, at the same cells. The weight p_i (1 − p_i) turns a difference of logits into one of
probabilities.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coke_edge.decode import readings, visibility
from coke_edge.kernels.reference import NO_PEAK, Peaks
from coke_edge.manifest import VisibilitySpec

# Directions of the quantities in which the images hardly differ get no slope: with one row, c and ĉ say the same.
SMALLEST_SINGULAR = 1e-3
DIGITS = 6  # of the slopes: what lies below depends on the number of threads

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]


def transfer(spec: VisibilitySpec, before: Peaks, after: Peaks, images: Mask | None = None) -> VisibilitySpec:
    """The slopes for the bank that gave `after`, from those for the bank that gave `before`; of `images` [n].

    The best peaks that both have in the same cell are used; `spec` itself comes back if there are none.
    """
    cell, other = (peaks.index[:, : len(spec.bias), 0] for peaks in (before, after))
    usable = (cell == other) & (cell != NO_PEAK)
    if images is not None:
        usable &= images[:, None]
    if not usable.any():
        return spec
    old, new = (readings(peaks, spec.evidence)[usable] for peaks in (before, after))
    share = old @ spec.slopes  # of the logit, without the bias
    p = visibility(before, spec)[usable]
    weight = p * (1 - p)
    mean, spread = new.mean(axis=0), new.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    columns = np.concatenate([(new - mean) / spread, np.ones((len(new), 1))], axis=1)
    solution = np.linalg.lstsq(columns * weight[:, None], share * weight, rcond=SMALLEST_SINGULAR)[0]
    slopes = solution[:-1] / spread
    shift = float(solution[-1] - slopes @ mean)
    return spec.with_slopes(slopes.round(DIGITS), [round(value + shift, DIGITS) for value in spec.bias])


def cross_fitted(spec: VisibilitySpec, before: Peaks, after: Peaks) -> Float:
    """|difference of P(visible)| [n, K], each half of the images measured with slopes fitted on the other."""
    odd = np.arange(len(before.index)) % 2 == 1
    expected = visibility(before, spec)
    gap = np.zeros_like(expected)
    for half in (odd, ~odd):
        fitted = transfer(spec, before, after, ~half)
        gap[half] = np.abs(visibility(after, fitted) - expected)[half]
    return gap

"""How far two backends are apart on the same picture, and how far they may be."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What a precision may differ by from the reference: median distance in crop pixels, the responses where both found the
# same place, and P(visible) on average. The last alone hears of the score maps of hidden keypoints, as a whole: their
# places are wide, and where nothing is hidden rounding decides between them. Wide enough for the rounding of other
# kernels, narrow enough that a shifted crop, swapped channels or an engine of another model show.
LIMITS = {
    "fp32": (0.5, 0.02, 0.01),
    "fp16": (1.0, 0.05, 0.02),
    "int8": (2.0, 0.1, 0.1),
    "fp8": (2.0, 0.1, 0.1),
}
ELSEWHERE = 0.2  # share of the keypoints that may be found elsewhere: rounding decides between equal peaks

Vector = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Difference:
    """Distances in crop pixels over the keypoints that both found; NaN never, 0 where there is none."""

    median: float
    mean: float
    max: float
    response_max: float  # of similarity and clutter, where both found the same place
    visible_mean: float  # of P(visible), over the keypoints that both found; 0 if it is not calibrated
    elsewhere: int  # keypoints farther apart than the limit, or found by one alone
    keypoints: int  # that one found at least

    def beyond(self, precision: str) -> str | None:
        """Which limit of a precision is broken, in words; None if none is."""
        pixels, response, visible = LIMITS[precision]
        if self.keypoints == 0:
            return "no keypoint was found at all"
        if self.elsewhere > ELSEWHERE * self.keypoints:
            return f"{self.elsewhere} of {self.keypoints} keypoints are found elsewhere"
        if self.median > pixels:
            return f"keypoints lie {self.median:.2f} crop pixels off (median; limit {pixels:g})"
        if self.response_max > response:
            return f"responses differ by {self.response_max:.3f} (limit {response:g})"
        if self.visible_mean > visible:
            return f"P(visible) differs by {self.visible_mean:.3f} on average (limit {visible:g})"
        return None


def between(found: dict[str, Any], reference: dict[str, Any], precision: str) -> Difference:
    """The difference of two results of `trial.detect`; `precision` says what counts as the same place."""
    ours, theirs = vector(found["xy"]), vector(reference["xy"])  # [K, 2]
    distance = np.hypot(*(ours - theirs).T)  # [K], NaN where one has no peak
    near = distance <= LIMITS[precision][0]
    either = np.isfinite(ours).all(axis=1) | np.isfinite(theirs).all(axis=1)
    both = distance[np.isfinite(distance)]
    responses = [
        np.abs(vector(found[key]) - vector(reference[key]))[near] for key in ("similarity", "clutter")
    ]
    visible = np.abs(vector(found["visible"]) - vector(reference["visible"]))[np.isfinite(distance)]
    visible = visible[np.isfinite(visible)]
    return Difference(
        median=float(np.median(both)) if len(both) else 0.0,
        mean=float(np.mean(both)) if len(both) else 0.0,
        max=float(np.max(both, initial=0.0)),
        response_max=float(np.max(np.concatenate(responses), initial=0.0)),
        visible_mean=float(np.mean(visible)) if len(visible) else 0.0,
        elsewhere=int((either & ~near).sum()),
        keypoints=int(either.sum()),
    )


def vector(values: Any) -> Vector:
    """Nested lists as an array, None as NaN."""
    return np.array(values, dtype=np.float64)

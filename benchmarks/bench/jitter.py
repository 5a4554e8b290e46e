"""How much calls differ from the one before: jitter, as a viewer sees it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def jitter(samples: Sequence[float], slices: Sequence[int]) -> float:
    """Mean absolute difference of successive samples, in their unit; 0 if no two followed each other.

    `slices` are the lengths of the stretches of `samples`, between which others had their turns: from the last call of
    one to the first of the next is no step.
    """
    stretches = np.split(np.asarray(samples, np.float64), np.cumsum(slices)[:-1])
    steps = np.concatenate([np.abs(np.diff(stretch)) for stretch in stretches])
    return float(steps.mean()) if steps.size else 0.0

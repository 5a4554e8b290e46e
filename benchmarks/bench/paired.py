"""How two rows that took turns compare: stretch by stretch, so that what the machine does to both cancels.

A machine's moods last for seconds and move a median by tens of percent; two stretches beside each other share them.
Each pair of stretches gives one logarithm of the ratio of their medians. Where a mood begins or ends within a pair it
is far off; the trimmed mean leaves such pairs out, and its standard error comes from the winsorised variance:
J. W. Tukey and D. H. McLaughlin, "Less vulnerable confidence and significance procedures for location based on a
single sample", Sankhyā A 25 (1963).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TRIMMED = 0.2  # share of the pairs that is left out at either end


class Ratio(NamedTuple):
    """The logarithm of B over A."""

    log: float
    error: float  # its standard error
    freedom: float  # degrees of freedom of that error


def ratios(
    old: Mapping[str, Sequence[float]],
    new: Mapping[str, Sequence[float]],
    old_slices: Sequence[int],
    new_slices: Sequence[int],
) -> dict[str, Ratio]:
    """Of each column that both have. `old_slices` and `new_slices` are equally many lengths of stretches, which took
    turns in this order and sum to the lengths of the columns of their side.
    """
    return {
        name: trimmed_mean(log_medians(new[name], new_slices) - log_medians(old[name], old_slices))
        for name in old
        if name in new
    }


def log_medians(samples: Sequence[float], slices: Sequence[int]) -> NDArray[np.float64]:
    """Of each stretch [len(slices)]; samples are above 0."""
    stretches = np.split(np.log(np.asarray(samples, dtype=np.float64)), np.cumsum(slices)[:-1])
    return np.asarray([np.median(stretch) for stretch in stretches])


def trimmed_mean(values: NDArray[np.float64]) -> Ratio:
    """Without `TRIMMED` of the values [n] at either end, with its standard error; n is 3 or more."""
    count, cut = len(values), int(TRIMMED * len(values))
    ordered = np.sort(values)
    kept = ordered[cut : count - cut]
    winsorised = np.clip(ordered, kept[0], kept[-1])
    error = float(winsorised.std(ddof=1)) / ((1 - 2 * cut / count) * math.sqrt(count))
    return Ratio(float(kept.mean()), error, len(kept) - 1)

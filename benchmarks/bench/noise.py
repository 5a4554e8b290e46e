"""How well the median of a row is known: its standard error, honest about calls and slices that resemble each other.

Latencies are no independent draws: a call resembles the one before, and a machine has moods that last for seconds. A
row is therefore measured in slices, spread over the run, and the block bootstrap here draws whole groups of successive
slices, with replacement: what lasts for less than such a group is counted as noise. What lasts for longer than a run,
or belongs to a process (where its memory lies, which cores it got), shows in no slice: `BETWEEN_RUNS` and, for
stages of microseconds, `PLACEMENT` stand for it.

Two rows that took turns, slice by slice, shared the machine's moods: `paired` compares those. Two copies of one model
do not lie at the same place in memory, nor is either called after itself: `BETWEEN_COPIES` stands for that.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

REPLICATES = 1000
LEAST_SLICES = 8  # fewer tell too little of the machine's moods: three degrees of freedom are left of these
MOST_AT_ONCE = 5_000_000  # samples of all replicates together
CUT_INTO = LEAST_SLICES  # parts of a row that was measured in one stretch
ANGLES, BEYOND = 4001, 40.0  # of Student's distribution: steps, and the quantile that none is beyond
GROUP = 2  # successive slices that are drawn together
BETWEEN_RUNS = 0.01  # standard deviation of log medians of runs of the same thing, beyond what slices show
BETWEEN_COPIES = (
    0.006  # standard deviation of the log ratio of two copies in one process, beyond what stretches show
)
PLACEMENT = 0.0005  # of the whole: standard deviation of any stage, by where a process has its memory


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A median, and how far it may be from the one of another run."""

    median: float  # ms
    error: float  # standard error of its logarithm
    freedom: float  # degrees of freedom of that error


def estimate(columns: Mapping[str, Sequence[float]], slices: Sequence[int]) -> dict[str, Estimate]:
    """Of each column of samples in ms, all as long as the sum of `slices`; they share their draws.

    The draws have a fixed seed: the same samples always give the same estimate.
    """
    count = len(slices)
    counts = draws(count, REPLICATES, np.random.default_rng(0))
    owner = np.repeat(np.arange(count), slices)
    # A bootstrap of few groups is too narrow: as the variance of n draws from n values is (n − 1)/n of their own.
    groups = count / GROUP
    widen = widening(groups)
    found = {}
    for name, column in columns.items():
        samples = np.asarray(column, dtype=np.float64)
        logs = np.log(medians(samples, owner, counts))
        error = widen * float(logs.std(ddof=1))
        found[name] = Estimate(float(np.median(samples)), error, groups - 1)
    return found


def widening(groups: float) -> float:
    """What an error from a bootstrap of so few groups is too small by."""
    return math.sqrt(groups / (groups - 1))


def draws(count: int, replicates: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How often each of `count` slices is drawn [replicates, count], in groups of successive ones around a circle."""
    groups = math.ceil(count / GROUP)
    starts = rng.integers(0, count, (replicates, groups, 1))
    drawn = ((starts + np.arange(GROUP)) % count).reshape(replicates, -1)[:, :count]
    counts: NDArray[np.int64] = (drawn[:, :, None] == np.arange(count)).sum(axis=1)
    return counts


def medians(
    samples: NDArray[np.float64], owner: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The median of each replicate: of samples [n] that count as often as their slice was drawn."""
    order = np.argsort(samples, kind="stable")
    parts = max(1, counts.shape[0] * len(samples) // MOST_AT_ONCE)
    middle = []
    for some in np.array_split(counts, parts):  # all at once could be gigabytes
        below = np.cumsum(some[:, owner[order]], axis=1)
        middle.append((below >= below[:, -1:] / 2).argmax(axis=1))
    found: NDArray[np.float64] = samples[order][np.concatenate(middle)]
    return found


def t_quantile(probability: float, freedom: float) -> float:
    """Of Student's distribution, for 0.5 ≤ probability < 1 and 1 degree of freedom or more; off by less than 0.1 %.

    With t = √freedom · tan φ its density is that of cos(φ)^(freedom − 1), which is summed up to the probability.
    """
    most = min(math.pi / 2, BEYOND / math.sqrt(freedom))
    angles = np.linspace(0.0, most, ANGLES)
    density = np.cos(angles) ** (freedom - 1)
    below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    angle = float(np.interp((2 * probability - 1) * below[-1], below, angles))
    return math.sqrt(freedom) * math.tan(angle)

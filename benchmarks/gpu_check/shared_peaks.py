"""The peaks that two lists have in common, whatever their ranks, where rounding makes and unmakes peaks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coke_edge.kernels.reference import Peaks

Indices = NDArray[np.int64]


class Shared(NamedTuple):
    """n peaks that lie in the same cell of the same map, and how many have no such excuse for being alone."""

    crop: Indices  # [n]
    map: Indices  # [n]
    rank: Indices  # [n] in one list …
    other: Indices  # [n] … and in the other
    unexplained: int

    def of_one(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values [B, R, M, …] of the one list, for each shared peak [n, …]."""
        return values[self.crop, self.map, self.rank]

    def of_other(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same of the other list."""
        return values[self.crop, self.map, self.other]


def shared_peaks(found: Peaks, expected: Peaks, tolerance: float) -> Shared:
    """Two lists of peaks [B, R, M] of the same maps, each rounded in its own way.

    Rounding decides whether a cell that hardly rises above its neighbours is a peak, and which of two equal peaks is
    the last that is reported: what only one of both has must be of either kind, to `tolerance`, or is unexplained.
    """
    pairs, unexplained = [], 0
    for at in np.ndindex(found.index.shape[:2]):
        cells = expected.index[at].tolist()
        pairs += [
            (*at, rank, cells.index(c)) for rank, c in enumerate(found.index[at].tolist()) if c in cells
        ]
        for one, other in ((found, expected), (expected, found)):
            alone = ~np.isin(one.index[at], other.index[at])
            unexplained += int((alone & ~excused(one, other, at, tolerance)).sum())
    crop, map_, rank, other_rank = np.array(pairs, dtype=np.int64).reshape(-1, 4).T
    return Shared(crop, map_, rank, other_rank, unexplained)


def excused(one: Peaks, other: Peaks, at: tuple[int, ...], tolerance: float) -> NDArray[np.bool_]:
    """[M] which peaks of a map may be missing in the other list."""
    around = np.sort(one.neighbourhood[at].reshape(-1, 9), axis=1)
    last = other.neighbourhood[at][:, 1, 1].min()
    with np.errstate(invalid="ignore"):  # −∞ − −∞, where there is no peak
        hardly_rises = around[:, -1] - around[:, -2] < tolerance
    return np.asarray(hardly_rises | (one.neighbourhood[at][:, 1, 1] < last + tolerance))

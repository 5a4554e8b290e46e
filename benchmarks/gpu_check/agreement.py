"""Whether peaks are those of the definition, as far as rounding lets two cells be told apart."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from coke_edge.kernels import reference, torch_reference
from coke_edge.kernels.spec import HeadSpec
from coke_edge.kernels.torch_reference import Peaks, ScoreMaps


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Peaks against the definition."""

    error: float  # largest difference of any number that a peak reports, at the cell that was found
    near_ties: int  # another cell than the definition's, its score the same within rounding
    wrong: int  # a peak that is none, a missing one, or a clearly worse one

    def within(self, tolerance: float) -> bool:
        return self.wrong == 0 and self.error <= tolerance  # false for NaN, too


def agreement(found: Peaks, exact: ScoreMaps, head: HeadSpec, soft: bool, tolerance: float) -> Agreement:
    """`found` against float64 maps on the same device. Without `soft` ĉ is not looked at.

    Scores that differ by less than twice the tolerance count as equal where the found cell differs from the
    definition's; with a tolerance of 0 it must be the same.
    """
    score = exact.score.flatten(2)
    expected = torch_reference.find_peaks(exact, head.peaks).index.long()
    index = found.index.long()
    cells = score.shape[2]
    strange = (index < reference.NO_PEAK) | (index >= cells)
    index = index.masked_fill(strange, reference.NO_PEAK)
    exists = index != reference.NO_PEAK
    at, should = index.clamp_min(0), expected.clamp_min(0)

    around = torch_reference.neighbourhoods(exact.score).reshape(*score.shape, 9)
    around = around.gather(2, at[..., None].expand(-1, -1, -1, 9))
    here, there = score.gather(2, at), score.gather(2, should)
    near = ((here - there).abs() < 2 * tolerance) & (here >= around.amax(-1) - 2 * tolerance)
    same = index == expected
    both = exists & (expected != reference.NO_PEAK)
    wrong = strange | (exists != (expected != reference.NO_PEAK)) | (both & ~same & ~near)

    def quantity(maps: Tensor) -> Tensor:
        return maps.expand_as(exact.score).flatten(2).gather(2, at)

    pairs = [
        (found.similarity, quantity(exact.similarity)),
        (found.clutter, quantity(exact.clutter[:, None])),
        (found.neighbourhood.flatten(3), around),
    ]
    pairs += [(found.soft_clutter, quantity(exact.soft_clutter[:, None]))] if soft else []
    error = max(difference(value, right, exists) for value, right in pairs)
    return Agreement(error, int((both & ~same & near).sum()), int(wrong.sum()))


def difference(value: Tensor, right: Tensor, exists: Tensor) -> float:
    """Largest absolute difference; what belongs to no peak must be −∞; NaN counts as infinite."""
    mask = exists[..., None] if value.dim() > exists.dim() else exists
    right = torch.where(mask, right, -torch.inf)
    apart = (value.double() - right).abs()
    apart = torch.where(value.double() == right, 0.0, apart)  # −∞ against −∞
    return float(torch.nan_to_num(apart, nan=torch.inf, posinf=torch.inf).max())

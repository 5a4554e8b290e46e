"""How a cell is scored: the head's few constants."""

from __future__ import annotations

import dataclasses
from typing import Literal

Rule = Literal["similarity", "margin", "log_odds"]


@dataclasses.dataclass(frozen=True)
class HeadSpec:
    """Constants of the head; `reference.py` gives the formulas they stand in."""

    rule: Rule
    temperature: float  # τ of the soft clutter response
    clutter_weight: float  # w of the soft clutter response
    peaks: int = 1  # M, local maxima kept per keypoint

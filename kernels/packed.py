"""What the `peaks` kernel takes and gives: the numbers of the rules, and peaks packed in rows of 13 words.

words 0 … 12 of a peak = index (int32) | s | c | ĉ | q of the 3×3 neighbourhood, row-major (float32 bits)
"""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from .reference import Peaks
from .spec import Rule

PEAK_WORDS = 13
RULES: tuple[Rule, ...] = get_args(Rule)  # a rule goes to the kernel as its place here


def unpack(packed: NDArray[np.int32]) -> Peaks:
    """Peaks from the words [B, K, M, 13] that the kernel wrote."""
    values = packed.view(np.float32)
    return Peaks(
        packed[..., 0],
        values[..., 1],
        values[..., 2],
        values[..., 3],
        values[..., 4:].reshape(*packed.shape[:-1], 3, 3),
    )

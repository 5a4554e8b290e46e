"""The vectors that the head compares with, as a bundle stores them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Banks:
    """Prototypes [R, C] of R score maps and clutter [N, C], unit rows; N may be 0."""

    prototypes: Float
    clutter: Float
    counts: Float | None = None  # [N] how many vectors each clutter row stands for; 1 each if None

    @classmethod
    def of(cls, network: Any) -> Banks:
        """The banks of a model with `all_prototypes` [R, C] and `clutter` [N, C] tensors."""
        prototypes, clutter = (
            np.ascontiguousarray(bank.detach().cpu().float().numpy())
            for bank in (network.all_prototypes, network.clutter)
        )
        return cls(prototypes, clutter)

    def arrays(self) -> dict[str, Float]:
        """What there is, by name, in the order of the head's inputs."""
        arrays = {"prototypes": self.prototypes, "clutter": self.clutter}
        return arrays if self.counts is None else {**arrays, "counts": self.counts}

"""How far the fused kernels and plain low-precision torch are from the head in float64, on the same inputs."""

from __future__ import annotations

from torch import Tensor

from coke_edge.benchmarks.definition import exact_maps
from coke_edge.benchmarks.forms import Inputs, plain_maps
from coke_edge.kernels import fused


def errors(inputs: Inputs) -> dict[str, float]:
    """Largest error of q over all cells: of the fused kernels, of plain torch in the features' dtype, their ratio."""
    size, banks = inputs.size, (inputs.prototypes, inputs.clutter)
    exact = exact_maps(inputs.features, *banks, inputs.counts, size.head).score
    ours = fused.score_maps(inputs.features, *banks, size.head, inputs.counts).score
    plain = plain_maps(inputs.features, *banks, size.soft)[0].view_as(ours)

    def error(score: Tensor) -> float:
        return float((score.double() - exact).abs().max())

    return {
        "fused_error": error(ours),
        "plain_error": error(plain),
        "error_ratio": error(ours) / error(plain),
    }

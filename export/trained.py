"""What of a checkpoint a bundle can hold."""

from __future__ import annotations

from coke_edge.errors import ExportError
from coke_edge.train.checkpoint import Checkpoint
from coke_edge.train.model import CokeModel


def network_of(checkpoint: Checkpoint) -> CokeModel:
    """The network of a checkpoint. Raises ExportError if it is a baseline, which has neither prototypes nor clutter."""
    model = checkpoint.model
    if not isinstance(model, CokeModel):
        raise ExportError(
            f"a model of the method {checkpoint.recipe.method} is a baseline to measure, not to deploy: "
            "export one that was trained with --method coke"
        )
    return model

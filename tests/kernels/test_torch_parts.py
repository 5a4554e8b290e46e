"""The peaks of the fused parts, in Triton's interpreter, against the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from coke_edge.kernels.packed import unpack
from coke_edge.kernels.spec import HeadSpec
from coke_edge.kernels.torch_parts import fused_parts
from coke_edge.kernels.torch_reference import match

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, on −∞, in the interpreter


@pytest.mark.parametrize("compressed", [False, True])
def test_the_clutter_rows_weigh_what_they_stand_for(compressed: bool) -> None:
    random = torch.Generator().manual_seed(0)
    prototypes, clutter = (F.normalize(torch.randn(rows, 32, generator=random), dim=1) for rows in (3, 20))
    features = F.normalize(torch.randn(1, 32, 4, 8, generator=random), dim=1)
    counts = torch.arange(1.0, 21.0) if compressed else None
    head = HeadSpec("log_odds", 0.1, 0.5, 2)
    parts = fused_parts(
        lambda crops: crops, prototypes, clutter, head, counts=counts, width=64, height=32, border=(0, 0, 0),
        crops=torch.uint8, device="cpu",
    )  # fmt: skip
    found, expected = (
        unpack(parts.head(features).numpy()),
        match(features, prototypes, clutter, head, counts),
    )
    np.testing.assert_array_equal(found.index, expected.index)
    for name in ("clutter", "soft_clutter", "neighbourhood"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-5)

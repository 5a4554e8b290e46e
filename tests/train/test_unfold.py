"""BatchNorms that get their statistics back: the same map in evaluation mode, whatever the statistics."""

from __future__ import annotations

import hypothesis.extra.numpy as arrays
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from coke_edge.train.unfold import Moments, set_statistics

VALUES = st.floats(-8, 8, width=32)


@settings(deadline=None)
@given(st.lists(arrays.arrays(np.float32, (2, 3, 4, 5), elements=VALUES), min_size=1, max_size=3))
def test_moments_are_those_of_all_batches_together(batches: list[np.ndarray]) -> None:
    moments = Moments()
    for batch in batches:
        moments(nn.Identity(), (torch.from_numpy(batch),))
    mean, variance = moments.result()
    whole = np.concatenate(batches).astype(np.float64)
    np.testing.assert_allclose(mean, whole.mean((0, 2, 3)), atol=1e-9)
    np.testing.assert_allclose(variance, whole.var((0, 2, 3)), atol=1e-9)


@settings(deadline=None)
@given(arrays.arrays(np.float32, (3,), elements=VALUES), st.lists(st.floats(0, 9), min_size=3, max_size=3))
def test_statistics_change_nothing_in_evaluation_mode(mean: np.ndarray, variance: list[float]) -> None:
    norm = nn.BatchNorm2d(3).eval()
    norm.running_var.fill_(1 - norm.eps)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([1.0, -2.0, 0.5]))
        x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        before = norm(x)
        set_statistics(norm, torch.from_numpy(mean), torch.tensor(variance))
        torch.testing.assert_close(norm(x), before, rtol=1e-4, atol=1e-4)

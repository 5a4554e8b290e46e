"""The null class: where its logit begins, and that it gets where it belongs."""

import math

import pytest
import torch

from coke_edge.train import loss
from coke_edge.train.null_class import NullClass

K = 3


@pytest.mark.parametrize("size", [(4, 4), (24, 24), (64, 48)])
def test_equal_logits_everywhere_are_visible_with_probability_one_half(size: tuple[int, int]) -> None:
    maps = torch.zeros(2, K, *size)
    probability = torch.sigmoid(torch.logsumexp(maps.flatten(2), dim=2) - NullClass(K, 0.07)(maps))
    torch.testing.assert_close(probability, torch.full((2, K), 0.5))


def test_its_logit_is_a_similarity_over_the_temperature_beside_the_cells() -> None:
    null = NullClass(K, 0.1)
    null.similarity.data = torch.tensor([-0.5, 0.0, 0.3])
    expected = torch.tensor([-5.0, 0.0, 3.0]) + math.log(6 * 8)
    torch.testing.assert_close(null(torch.zeros(1, K, 6, 8)), expected)


def test_it_finds_the_border_between_visible_and_hidden_within_a_short_training() -> None:
    visible = torch.arange(40)[:, None].expand(-1, K) % 2 == 0  # [B, K]
    similarity = torch.full((40, K, 24, 24), 0.1)
    similarity[:, :, 3, 3] = torch.where(visible, 0.9, 0.75)
    null = NullClass(K, 0.07)
    optimizer = torch.optim.AdamW(null.parameters(), lr=1e-3)

    def presence() -> torch.Tensor:
        return loss.presence(similarity, visible, ~visible, null(similarity), 0.07)

    before = presence().item()
    for _ in range(300):
        optimizer.zero_grad()
        presence().backward()
        optimizer.step()
    assert presence().item() < 0.65 < math.log(2) < before

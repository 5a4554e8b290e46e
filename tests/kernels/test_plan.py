from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coke_edge.kernels import plan
from coke_edge.kernels.targets import TARGETS


@given(st.integers(1, 5000), st.integers(0, 65_536), st.sampled_from([16, 32, 64, 128]), st.integers(1, 200))
def test_parts_cover_the_bank_and_none_is_empty(
    blocks: int, rows: int, block_rows: int, processors: int
) -> None:
    size = plan.part_rows(blocks, rows, block_rows, processors)
    count = plan.parts(rows, size)
    assert size % block_rows == 0
    assert (count - 1) * size < rows <= count * size or rows == count == 0


def test_one_small_image_fills_the_gpu_and_a_large_batch_is_not_cut() -> None:
    size = plan.part_rows(blocks=16, rows=2560, block_rows=64, processors=132)
    assert 16 * plan.parts(2560, size) >= 0.9 * 132
    assert plan.parts(2560, plan.part_rows(64 * 16, 2560, 64, 132)) == 1


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("element_bytes", [2, 4])
@pytest.mark.parametrize("channels", [32, 48, 64, 128, 256, 512])
def test_tiles_fit_the_shared_memory(name: str, channels: int, element_bytes: int) -> None:
    tile = plan.tile(TARGETS[name], channels, element_bytes)
    assert tile.block_channels >= channels
    assert tile.stages >= 2
    assert min(tile.block_cells, tile.block_rows, tile.block_keypoints) >= 16
    streamed = tile.stages * tile.block_rows
    held = (
        max(tile.block_cells, streamed) if TARGETS[name].tensor_op == "HMMA" else tile.block_cells + streamed
    )
    assert held * tile.block_channels * element_bytes <= TARGETS[name].shared_memory
    if TARGETS[name].tensor_op != "HMMA" and element_bytes == 2:
        assert tile.block_cells >= 64  # the widest instruction needs as many

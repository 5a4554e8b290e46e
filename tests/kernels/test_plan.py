from __future__ import annotations

import json
import re

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
@pytest.mark.parametrize("cells", [1, plan.MANY_CELLS])
@pytest.mark.parametrize("channels", [32, 48, 64, 128, 200, 256, 384, 512])
def test_tiles_fit_the_shared_memory(name: str, channels: int, cells: int, element_bytes: int) -> None:
    target = TARGETS[name]
    tile = plan.tile(target, channels, element_bytes, cells=cells)
    assert tile.stages >= 2
    assert min(tile.block_cells, tile.block_rows, tile.block_keypoints, tile.block_channels) >= 16
    assert plan.shared_memory(tile, target, channels, element_bytes) <= target.shared_memory
    if target.tensor_op != "HMMA":
        assert tile.block_cells >= 64  # the widest instruction needs as many


@pytest.mark.parametrize("name", TARGETS)
def test_a_tile_for_keypoints(name: str) -> None:
    for keypoints, expected in ((1, 16), (17, 32), (33, 64), (256, 64)):
        assert plan.tile(TARGETS[name], 128, 2, keypoints).block_keypoints == expected


def test_the_table_holds_tiles_and_where_they_come_from() -> None:
    rows = json.loads(plan.TABLE.read_text())["tiles"]
    assert len(plan.recorded()) == len(rows)
    capabilities = {target.capability: target for target in TARGETS.values()}
    for row in rows:
        target = capabilities[row["capability"]]
        size = target, row["channels"], row["element_bytes"]
        found = plan.recorded()[target.capability, row["element_bytes"], row["channels"], row["many_cells"]]
        if row["origin"] == "reasoned":
            assert found == plan.reasoned(*size, row["many_cells"])
        else:
            assert re.fullmatch(r"measured on .+, \d{4}-\d\d-\d\d", row["origin"])
        assert plan.shared_memory(found, *size) <= target.shared_memory


def test_a_recorded_tile_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = plan.Tile(32, 32, 16, 128, 4, 4)
    monkeypatch.setattr(plan, "recorded", lambda: {(90, 2, 128, False): mine})
    assert plan.tile(TARGETS["h100"], 128, 2) == mine
    assert plan.tile(TARGETS["h100"], 128, 2, cells=plan.MANY_CELLS) != mine
    assert plan.tile(TARGETS["orin"], 128, 2) != mine


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(("channels", "element_bytes"), [(64, 2), (128, 2), (256, 2), (512, 2), (128, 4)])
def test_candidates_hold_the_plan_and_fit(name: str, channels: int, element_bytes: int) -> None:
    target = TARGETS[name]
    found = plan.candidates(target, channels, element_bytes)
    assert len(found) == len(set(found)) >= 2
    for cells in (1, plan.MANY_CELLS):
        assert plan.tile(target, channels, element_bytes, cells=cells) in found
    for tile in found:
        assert plan.shared_memory(tile, target, channels, element_bytes) <= target.shared_memory


@given(st.integers(1, 1000), st.integers(1, 256), st.integers(1, 100_000))
def test_shares_of_a_batch_keep_to_the_memory(images: int, keypoints: int, cells: int) -> None:
    share = plan.images_at_a_time(images, keypoints, cells)
    assert 1 <= share <= images
    assert share == 1 or share * keypoints * cells * 4 <= plan.MAPS_BYTES


def test_a_batch_of_64_takes_less_than_a_hundredth_of_the_products() -> None:
    """Beside those of the unfused form: products, unit features and similarities in float16."""
    images, cells, channels, keypoints, rows = 64, 1024, 128, 16, 2560
    share = plan.images_at_a_time(images, keypoints, cells)
    peaks = images * keypoints * 13 * 4
    one_part = share * cells * 4
    assert plan.parts(rows, plan.part_rows(share * cells // 128, rows, 64, 148)) == 1
    fused = share * keypoints * cells * 4 + one_part + peaks
    assert fused < 0.01 * images * cells * (rows + channels + keypoints) * 2

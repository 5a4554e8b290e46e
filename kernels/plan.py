"""How `match` is cut into programs: the tile for a GPU, and the parts of the clutter bank for a size.

A tile keeps all channels of a block of cells on chip and streams the clutter bank past it, `stages` blocks of
rows in flight:

    shared memory ≈ (block_cells + stages · block_rows) · channels · bytes per element

On GPUs with HMMA the cells go on to registers, and the rows take the place that they leave.
"""

from __future__ import annotations

import dataclasses

from .targets import Target

PROGRAMS_PER_PROCESSOR = 1  # that parts are made for; more parts mean more to join in `peaks`
PEAKS_WARPS = 8
WARP_PIXELS, WARP_WARPS = 256, 4  # of a program of `warp`


@dataclasses.dataclass(frozen=True)
class Tile:
    """The shape of a program of `match`."""

    block_cells: int
    block_rows: int
    block_keypoints: int
    block_channels: int
    warps: int
    stages: int


def power_of_two(n: int) -> int:
    """The smallest power of two that is at least `n`."""
    return 1 << max(0, n - 1).bit_length()


def tile(target: Target, channels: int, element_bytes: int, keypoints: int = 16) -> Tile:
    """The tile for a GPU, a number of channels and the size of a feature's element.

    64 cells feed the widest tensor-core instruction of 4 warps (Hopper's and later need as many). Blocks shrink
    where the shared memory is small or the elements are wide.
    """
    block_channels = max(16, power_of_two(channels))
    block_cells, block_rows, stages = 64, 64, 3
    # Products of float32 take the tensor cores three times, and their operands as many places.
    row_bytes = block_channels * element_bytes * (3 if element_bytes == 4 else 1)
    in_registers = target.tensor_op == "HMMA"

    def fits() -> bool:
        streamed = stages * block_rows
        held = max(block_cells, streamed) if in_registers else block_cells + streamed
        return held * row_bytes <= target.shared_memory - 4096

    while not fits() and stages > 2:
        stages -= 1
    while not fits() and block_rows > 16:
        block_rows //= 2
    while not fits() and block_cells > 16:
        block_cells //= 2
    # A warp of an HMMA tile holds 16 cells × all channels in registers: wide features need more warps.
    warps = 8 if in_registers and row_bytes > 256 else 4
    return Tile(
        block_cells,
        block_rows,
        min(block_rows, max(16, power_of_two(keypoints))),
        block_channels,
        warps,
        stages,
    )


def part_rows(blocks: int, rows: int, block_rows: int, processors: int) -> int:
    """Rows of the clutter bank in a part, so that `blocks` blocks of cells fill `processors` multiprocessors.

    A multiple of `block_rows`; all rows at once where the cells alone fill the GPU.
    """
    wanted = max(1, PROGRAMS_PER_PROCESSOR * processors // max(1, blocks))
    return block_rows * max(1, -(-rows // (block_rows * wanted)))


def parts(rows: int, rows_of_a_part: int) -> int:
    """How many parts a clutter bank of `rows` rows has; none without clutter."""
    return -(-rows // rows_of_a_part)


def peaks_block(cells: int) -> int:
    """Cells that a program of `peaks` takes at a time."""
    return min(2048, max(128, power_of_two(cells)))

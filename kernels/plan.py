"""How `match` is cut into programs: the tile for a GPU, and the parts of the clutter bank for a size.

A tile holds all channels of a block of cells on chip and streams the clutter bank past it, `stages` blocks of
rows in flight; or, where that is too much, both in blocks of channels:

    shared memory ≈ (block_cells + stages · block_rows) · channels · bytes per element
                    stages · (block_cells + block_rows) · block_channels · bytes per element

On GPUs with HMMA the cells go on to registers, and the rows take the place that they leave.

`tiles.json` holds the tiles of common sizes and where each comes from: reasoned, or measured on a GPU. For the
others the rule here gives one. Every block of cells reads the whole bank from the L2 cache, so many cells take
larger blocks than few, which have to fill the GPU first.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from pathlib import Path

from .targets import Target

PROGRAMS_PER_PROCESSOR = 1  # that parts are made for; more parts mean more to join in `peaks`
PEAKS_WARPS = 8
WARP_PIXELS, WARP_WARPS = 256, 4  # of a program of `warp`
MANY_CELLS = 32_768  # of all images: blocks of 128 fill any GPU from here on
MAPS_BYTES = 5 << 19  # of similarity maps that are kept at a time, where the batch can be cut
RESERVED = 4096  # bytes of shared memory that are left to reductions
REGISTERS = 65_536  # of a multiprocessor
TABLE = Path(__file__).with_name("tiles.json")


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


def tile(target: Target, channels: int, element_bytes: int, keypoints: int = 16, cells: int = 1024) -> Tile:
    """The tile for a GPU, a number of channels, the size of a feature's element and the cells of all images.

    That of the table if it has one, else the reasoned one.
    """
    many = cells >= MANY_CELLS
    found = recorded().get((target.capability, element_bytes, channels, many))
    if found is None:
        found = reasoned(target, channels, element_bytes, many)
    known = min(found.block_rows, max(16, power_of_two(keypoints)))
    return dataclasses.replace(found, block_keypoints=known)


@functools.cache
def recorded() -> dict[tuple[int, int, int, bool], Tile]:
    """The table: compute capability, bytes of an element, channels, many cells → tile."""
    rows = json.loads(TABLE.read_text())["tiles"]
    fields = ("block_cells", "block_rows", "block_channels", "warps", "stages")
    return {
        (row["capability"], row["element_bytes"], row["channels"], row["many_cells"]): Tile(
            block_keypoints=16, **{field: row[field] for field in fields}
        )
        for row in rows
    }


def reasoned(target: Target, channels: int, element_bytes: int, many: bool) -> Tile:
    """The tile by rule.

    64 cells feed the widest tensor-core instruction of 4 warps (Hopper's and later need as many). Blocks shrink
    where the shared memory is small. Products of float32 take the tensor cores three times and their operands as
    many places: they go in blocks of channels.
    """
    in_registers = target.tensor_op == "HMMA"
    if element_bytes == 4:
        return Tile(64, 32, 16, 32, 4, 3) if in_registers else Tile(64, 64, 16, 32, 8, 3)
    block_channels = max(16, power_of_two(channels))
    large = many and block_channels <= (128 if in_registers else 256)
    # A warp of an HMMA tile holds 16 cells × all channels in registers: wide features need more warps.
    warps = 8 if large or (in_registers and block_channels > 128) else 4
    block_cells = 128 if large else 64
    for block_rows, stages in ((64, 3), (64, 2), (32, 2), (16, 2)):
        found = Tile(block_cells, block_rows, 16, block_channels, warps, stages)
        if shared_memory(found, target, channels, element_bytes) <= target.shared_memory - RESERVED:
            return found
    raise ValueError(f"no tile of {channels} channels for {target.name}")


def shared_memory(tile: Tile, target: Target, channels: int, element_bytes: int) -> int:
    """Bytes of shared memory that a tile takes, nearly."""
    streamed = tile.stages * tile.block_rows
    if tile.block_channels < channels:
        streamed += tile.stages * tile.block_cells
    elif target.tensor_op == "HMMA":
        streamed = max(tile.block_cells, streamed)
    else:
        streamed += tile.block_cells
    return streamed * tile.block_channels * element_bytes


def candidates(target: Target, channels: int, element_bytes: int, keypoints: int = 16) -> list[Tile]:
    """The tiles worth trying on a GPU: they fit its shared memory, and their sums its registers."""
    whole = max(16, power_of_two(channels))
    widths = [whole] if element_bytes == 2 else [16, 32]
    shapes = itertools.product((32, 64, 128), (32, 64, 128, 256), widths, (4, 8), (2, 3, 4))
    return [
        tile
        for cells, rows, block_channels, warps, stages in shapes
        for tile in [
            Tile(cells, rows, min(rows, max(16, power_of_two(keypoints))), block_channels, warps, stages)
        ]
        if shared_memory(tile, target, channels, element_bytes) <= target.shared_memory - RESERVED
        # Sums and largest values of a program, in half of the registers that its threads may have.
        and 2 * cells * rows <= min(REGISTERS, 255 * 32 * warps) // 2
    ]


def part_rows(blocks: int, rows: int, block_rows: int, processors: int) -> int:
    """Rows of the clutter bank in a part, so that `blocks` blocks of cells fill `processors` multiprocessors.

    A multiple of `block_rows`; all rows at once where the cells alone fill the GPU.
    """
    wanted = max(1, PROGRAMS_PER_PROCESSOR * processors // max(1, blocks))
    return block_rows * max(1, -(-rows // (block_rows * wanted)))


def parts(rows: int, rows_of_a_part: int) -> int:
    """How many parts a clutter bank of `rows` rows has; none without clutter."""
    return -(-rows // rows_of_a_part)


def images_at_a_time(images: int, keypoints: int, cells: int) -> int:
    """Images whose similarity maps are kept together: a large batch goes in equal shares of MAPS_BYTES or less."""
    most = max(1, MAPS_BYTES // (keypoints * cells * 4))
    shares = -(-images // most)
    return -(-images // shares)


def precision(dtype: str) -> str:
    """How `match` multiplies features of a dtype: float32 on the tensor cores too, in three passes."""
    return "tf32x3" if dtype == "fp32" else "ieee"


def peaks_block(cells: int) -> int:
    """Cells that a program of `peaks` takes at a time."""
    return min(2048, max(128, power_of_two(cells)))

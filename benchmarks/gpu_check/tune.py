"""Which tile of `match` is best on this GPU: all that are worth trying, timed side by side.

For each number of channels and both kinds of batch (few cells, many cells) the whole head is timed, both passes.
A tile whose maps differ from those of the default is not a candidate. The report puts the best into tiles.json,
rows as `kernels/tiles.json` has them.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from coke_edge.benchmarks.forms import Inputs, random_inputs
from coke_edge.benchmarks.gpu_check.rows import MEASURED, Options, Row, row
from coke_edge.benchmarks.machine import Machine, Processor
from coke_edge.benchmarks.measure import first_line, input_sets
from coke_edge.benchmarks.sizes import Size
from coke_edge.benchmarks.timing import Sampler, interleave
from coke_edge.kernels import fused, plan
from coke_edge.kernels.plan import Tile
from coke_edge.kernels.targets import Target

PROBLEMS = ((torch.float16, 128), (torch.float16, 64), (torch.float16, 256), (torch.float32, 128))
BATCHES = (1, 32)  # few cells, and as many as plan.MANY_CELLS asks for
PROGRAMS = (1, 2)  # per multiprocessor, that the clutter bank is cut for
CLOSE = 1e-4  # between maps of two tiles
ROUNDS, SECONDS = 15, 6.0
COMPILERS = 12  # processes

Cut = tuple[Tile, int]  # a tile, and programs per multiprocessor


def rows(options: Options, machine: Machine | None = None) -> Iterator[Row]:
    """One row for each problem and kind of batch: the best tile, the default's time, and all times."""
    if options.small:
        small = Size(height=4, width=4, channels=32, rows=70, keypoints=2)
        yield best_of(machine or Processor(), small, torch.float16, most=3)
        return
    from coke_edge.benchmarks.gpu import CudaGpu

    gpu = machine or CudaGpu()
    for dtype, channels in PROBLEMS:
        sizes = [Size(batch=batch, channels=channels) for batch in BATCHES]
        compile_aside(sizes, dtype)
        for size in sizes:
            yield best_of(gpu, size, dtype)


def tiles_of(inputs: Inputs) -> tuple[Tile, list[Tile]]:
    """The tile of the plan, and all that are worth trying."""
    size, target = inputs.size, fused.device_of(inputs.features)[0]
    element = inputs.features.element_size()
    default = plan.tile(target, size.channels, element, size.keypoints, size.batch * size.cells)
    found = plan.candidates(target, size.channels, element, size.keypoints)
    return default, list(dict.fromkeys([default, *found]))


def best_of(machine: Machine, size: Size, dtype: torch.dtype, most: int | None = None) -> Row:
    """Time the tiles of a size, at most `most` of them."""
    sets = input_sets(machine, size, dtype)
    default, tiles = tiles_of(sets[0])
    expected = maps(sets[0], (default, 1))
    samplers: dict[Cut, Sampler] = {}
    refused: dict[str, str] = {}
    for tile in tiles[:most]:
        for programs in PROGRAMS if size.batch == 1 else PROGRAMS[:1]:
            cut = tile, programs
            try:
                if not close(maps(sets[0], cut), expected):
                    raise ValueError("its maps are not those of the default tile")
                samplers[cut] = machine.sampler([call(inputs, cut) for inputs in sets])
            except Exception as error:
                refused[name(cut)] = first_line(error)
    times = {cut: min(samples) for cut, samples in interleave_all(samplers).items()}
    target = fused.device_of(sets[0].features)[0]
    return result(size, dtype, target, times, (default, 1), refused)


def interleave_all(samplers: dict[Cut, Sampler]) -> dict[Cut, list[float]]:
    """Samples of every cut, by the same rounds as the benchmark."""
    by_name = {name(cut): cut for cut in samplers}
    found = interleave({n: samplers[cut] for n, cut in by_name.items()}, ROUNDS, SECONDS)
    return {by_name[n]: samples for n, samples in found.items()}


def result(
    size: Size,
    dtype: torch.dtype,
    target: Target,
    times: dict[Cut, float],
    default: Cut,
    refused: dict[str, str],
) -> Row:
    """The best cut; the table takes the best of those with one program per multiprocessor, as the plan cuts."""
    ranked = sorted(times, key=lambda cut: times[cut])
    values: dict[str, Any] = {"tried": len(times), "refused": refused, "default_ms": times.get(default)}
    if ranked:
        values |= {"best": name(ranked[0]), "best_ms": times[ranked[0]]}
        tile = next(tile for tile, programs in ranked if programs == 1)
        values["tile"] = table_row(target, dtype, size, tile)
    values["times_ms"] = {name(cut): times[cut] for cut in ranked}
    return row(f"{size.name} {str(dtype)[6:]}", MEASURED, **values)


def table_row(target: Target, dtype: torch.dtype, size: Size, tile: Tile) -> dict[str, Any]:
    """A row of tiles.json."""
    fields = {k: v for k, v in dataclasses.asdict(tile).items() if k != "block_keypoints"}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "the interpreter"
    return {
        "capability": target.capability,
        "element_bytes": dtype.itemsize,
        "channels": size.channels,
        "many_cells": size.batch * size.cells >= plan.MANY_CELLS,
        **fields,
        "origin": f"measured on {device}",
    }


def name(cut: Cut) -> str:
    tile, programs = cut
    shape = f"{tile.block_cells}×{tile.block_rows}×{tile.block_channels}"
    return f"{shape}, {tile.warps} warps, {tile.stages} stages, {programs} a processor"


def part_rows(inputs: Inputs, cut: Cut) -> int:
    tile, programs = cut
    blocks = inputs.size.batch * -(-inputs.size.cells // tile.block_cells)
    processors = programs * fused.device_of(inputs.features)[1]
    return plan.part_rows(blocks, inputs.size.rows, tile.block_rows, processors)


def maps(inputs: Inputs, cut: Cut) -> tuple[torch.Tensor, torch.Tensor]:
    """Similarities and clutter responses, which no tile may change."""
    similarity, response, _ = respond(inputs, cut)
    return similarity, response.amax(0)


def respond(inputs: Inputs, cut: Cut) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    banks, head = (inputs.prototypes, inputs.clutter), inputs.size.head
    rows = part_rows(inputs, cut)
    return fused.respond(
        inputs.features, *banks, inputs.counts, head.temperature, False, tile=cut[0], part_rows=rows
    )


def call(inputs: Inputs, cut: Cut) -> Callable[[], object]:
    """Both passes."""
    size = inputs.size

    def both() -> object:
        similarity, response, mass = respond(inputs, cut)
        return fused.reduce(similarity, response, mass, similarity, size.width, size.head, False)

    return both


def close(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> bool:
    return all(torch.allclose(x, y, rtol=0, atol=CLOSE) for x, y in zip(a, b, strict=True))


def compile_aside(sizes: Sequence[Size], dtype: torch.dtype) -> None:
    """Fill Triton's cache from many processes: one alone would spend the time that the measurement needs."""
    workers = max(1, min(COMPILERS, (os.cpu_count() or 1) - 2))
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        shares = [pool.submit(compile_share, list(sizes), dtype, n, workers) for n in range(workers)]
        for done in shares:
            done.exception()  # what does not compile here fails again, with its reason, where it is timed


def compile_share(sizes: list[Size], dtype: torch.dtype, first: int, step: int, device: str = "cuda") -> None:
    """Run every `step`th tile once."""
    for size in sizes:
        inputs = random_inputs(size, device, dtype)
        for tile in tiles_of(inputs)[1][first::step]:
            try:
                respond(inputs, (tile, 1))
            except Exception as error:
                print(name((tile, 1)), first_line(error))

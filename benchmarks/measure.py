"""Time, memory and error of several forms of the head at several sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch

from coke_edge.benchmarks.forms import Form, Inputs, random_inputs
from coke_edge.benchmarks.machine import Ceilings, Machine
from coke_edge.benchmarks.sizes import KEY_SIZES, Size
from coke_edge.benchmarks.timing import Sampler, interleave, summary

MOST_SETS, MOST_ROUNDS = 400, 40  # 400 sets of the smallest size, without clutter, exceed 60 MB of cache
COMPILED, FUSED, LAUNCHED, UNFUSED = "torch.compile", "fused", "fused, binaries", "torch eager"
AT_KEY_SIZES = (COMPILED, LAUNCHED)  # forms that take long to prepare


def measure(
    machine: Machine,
    ceilings: Ceilings | None,
    sizes: Iterable[Size],
    forms: Mapping[str, Form],
    errors: Callable[[Inputs], dict[str, float]] | None = None,
    dtype: torch.dtype = torch.float16,
    rounds: int | None = None,  # MOST_ROUNDS if None
    seconds: float = 3.0,
) -> Iterator[dict[str, Any]]:
    """One row a size: the size itself, floor, and by form its time and memory, or why it has none.

    Forms that take long to prepare run at the key sizes only, and so does `errors`. `seconds` bounds the samples
    of a size, not its preparation.
    """
    for size in sizes:
        key = size in KEY_SIZES
        here = {name: form for name, form in forms.items() if key or name not in AT_KEY_SIZES}
        row: dict[str, Any] = {"name": size.name, "size": dataclasses.asdict(size), "dtype": str(dtype)[6:]}
        element = dtype.itemsize
        row |= {"flops": size.flops, "bytes": size.bytes_moved(element)}
        if ceilings:
            row |= {"roofline_ms": ceilings.roofline_ms(size, element)}
            row |= {"floor_ms": ceilings.floor_ms(size, element)}
        try:
            sets = input_sets(machine, size, dtype)
        except RuntimeError as error:  # out of memory
            yield row | {"forms": {}, "error": first_line(error)}
            continue
        row |= {
            "input_sets": len(sets),
            "forms": one_size(machine, sets, here, rounds or MOST_ROUNDS, seconds),
        }
        if errors and key:
            row |= errors(sets[0])
        yield row


def one_size(
    machine: Machine, sets: list[Inputs], forms: Mapping[str, Form], rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """By form: its summary of samples and extra memory, or its error. No form stops another."""
    results: dict[str, dict[str, Any]] = {}
    samplers: dict[str, Sampler] = {}
    for name, form in forms.items():
        try:
            calls = [form(inputs) for inputs in sets]
            known = getattr(calls[0], "extra_bytes", None)
            results[name] = {"extra_bytes": machine.extra_memory(calls[0]) if known is None else known}
            samplers[name] = getattr(form, "sampler", machine.sampler)(calls)
        except Exception as error:
            results[name] = {"error": first_line(error)}
    for name, samples in interleave(samplers, rounds, seconds).items():
        results[name] |= summary(samples)
    return results


def input_sets(machine: Machine, size: Size, dtype: torch.dtype) -> list[Inputs]:
    """Different inputs, together half as large again as the machine's cache, so that none stays in it."""
    wanted = -(-3 * machine.cache_bytes // (2 * size.bytes_moved(dtype.itemsize)))
    count = min(MOST_SETS, max(2, wanted))
    return [random_inputs(size, machine.device, dtype, seed) for seed in range(count)]


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__

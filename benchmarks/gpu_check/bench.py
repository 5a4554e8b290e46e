"""The benchmark of the whole way from a frame to peaks, as a section of the check: torch with our kernels.

It measures the packaged model, from the bundle in the checkout, with torch, Triton and numpy alone. What it gives is a
result as `coke-edge bench` writes one (`bench/result.py`), in plain values, for it has no msgspec here.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coke_edge import assets
from coke_edge.benchmarks import environment
from coke_edge.benchmarks.bench.steady import Rule
from coke_edge.benchmarks.gpu_check import rows as report
from coke_edge.benchmarks.gpu_check.bench_table import RUN
from coke_edge.benchmarks.gpu_check.bundled import Bundled, read_bundle
from coke_edge.benchmarks.gpu_check.energy import Counter, open_counter
from coke_edge.benchmarks.gpu_check.lane_row import row
from coke_edge.benchmarks.gpu_check.lanes import MODES, Frames, Lane, Network, Plan, name_of, regions
from coke_edge.benchmarks.gpu_check.memory import give_back
from coke_edge.benchmarks.gpu_check.rows import FAILED, MEASURED, Options, Row, broken, checked, reason_of
from coke_edge.benchmarks.gpu_check.shared_peaks import shared_peaks
from coke_edge.benchmarks.gpu_check.smi import Smi
from coke_edge.benchmarks.which_gpu import pci_bus
from coke_edge.kernels import torch_reference
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.torch_parts import fused_parts

SCHEMA = 1  # of bench/result.py
BUNDLE = Path(assets.__file__).parent / "person.coke"
SMALL = Plan(
    networks=(("fp32", (1,), MODES),),
    slices=1,
    seconds=0.0,
    lead=0,
    least=2,
    energy_seconds=0.0,
    rule=Rule(calls=1, seconds=0.0, windows=1),
)
FRAME, FRAMES = (480, 640), 12
TOLERANCE = {"fp32": 1e-3, "fp16": 0.03}  # of scores, against float32 on the CPU from the same crops
REGION = (
    "from a frame in the process's memory to the peaks of all objects in it as numpy arrays: upload, crops, network, "
    "head and download, by CUDA events on the very calls whose latency is told; capture and decoding into keypoints "
    "are not in it; paced calls count from the moment a frame was due"
)
ORDER = (
    "rows that run back to back take turns, then those that run in pace; {slices} rounds, {least} calls and "
    "{seconds:g} s at least in a stretch, {lead} calls before it that do not count; power and energy are of another "
    "stretch of each, after all rounds, {energy:g} s long at least, between two moves of the GPU's own counter"
)


def rows(options: Options, plan: Plan | None = None) -> Iterator[Row]:
    """A row that says whether each network is right, one for every lane whatever became of others, one for the run."""
    device = options.torch_device
    plan = plan or (SMALL if options.small else Plan())
    model = read_bundle(BUNDLE)
    model = smaller(model) if options.small else model
    frames, lanes, failed = generated(), list[Lane](), dict[str, str]()
    yield from prepare(plan, model, frames, device, lanes, failed)
    bus = "" if options.small else pci_bus()
    smi = Smi(bus)
    try:
        measure(lanes, plan, open_counter(bus))
        for lane in lanes:
            if lane.error:
                failed[lane.name] = lane.error
                yield report.row(lane.name, FAILED, error=lane.error)
            else:
                yield report.row(lane.name, MEASURED, row=row(lane, model, plan, smi))
    finally:
        smi.close()
    yield report.row(RUN, MEASURED, result=about(plan, options, failed))


def prepare(
    plan: Plan, model: Bundled, frames: Frames, device: str, lanes: list[Lane], failed: dict[str, str]
) -> Iterator[Row]:
    """Fill `lanes`, or name → reason in `failed`; rows for what failed, and on whether each precision is right."""
    for precision, batch, modes in networks(plan):
        network = built(model, precision, batch, frames, device)
        if isinstance(network, str):
            give_back()
            for name in (name_of(precision, batch, mode) for mode in modes):
                failed[name] = network
                yield report.row(name, FAILED, error=network)
            continue
        if precision not in {lane.precision for lane in lanes}:
            try:
                yield agreement(network, model, frames, device)
            except Exception as error:
                yield broken(against_the_cpu(precision), error)
        lanes += [Lane(network, mode, frames) for mode in modes]


def networks(plan: Plan) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Precision, batch and modes."""
    for precision, batches, modes in plan.networks:
        for batch in batches:
            yield precision, batch, modes


def built(model: Bundled, precision: str, batch: int, frames: Frames, device: str) -> Network | str:
    """A network after its first calls, or why there is none: too little memory for that many objects, say."""
    try:
        return Network(model, precision, batch, frames, device)
    except Exception as error:
        return reason_of(error)


def measure(lanes: list[Lane], plan: Plan, counter: Counter) -> None:
    """All lanes in turns, those of a mode after those of the other: paced calls keep clocks low. Energies come last."""
    start = time.perf_counter()
    for mode in MODES:
        alike = [lane for lane in lanes if lane.mode == mode]
        for lane in alike:
            lane.guarded(lambda lane=lane: lane.warm_up(plan.rule))  # type: ignore[misc]
        end = start + plan.most_seconds * (MODES.index(mode) + 1) / len(MODES)
        for turn in range(plan.slices):
            if turn and time.perf_counter() > end:
                break
            for lane in alike:
                lane.guarded(lambda lane=lane: lane.stretch(plan))  # type: ignore[misc]
    end = time.perf_counter() + plan.energy_most
    for lane in lanes:
        if time.perf_counter() < end:
            lane.guarded(lambda lane=lane: lane.measure_energy(plan, counter))  # type: ignore[misc]


def agreement(network: Network, model: Bundled, frames: Frames, device: str) -> Row:
    """Scores of the best peaks, out of the recorded call, against float32 on the CPU from the same crops.

    Those of the other peaks, and clutter responses, where they lie in the same cells, since the score may not depend on
    the clutter; what lies elsewhere must be a matter of rounding (`shared_peaks`).
    """
    frame, inverses = frames[0], regions(model, frames.shape[1], frames.shape[2], 1)
    for _ in range(1 if device == "cpu" else 3):  # a GPU runs it as it is, records it, and replays it
        found = network.pipeline(frame, inverses)
    parts = fused_parts(
        model.network, model.prototypes, model.clutter, model.head, counts=model.counts, width=model.width,
        height=model.height, border=model.border, crops=torch.uint8, device=device,
    )  # fmt: skip
    on_device = (
        torch.from_numpy(frame).to(device),
        torch.from_numpy(np.asarray(inverses, np.float32)).to(device),
    )
    with torch.inference_mode():
        features = model.network(parts.warp(*on_device).cpu())
        banks = model.prototypes, model.clutter
        expected = torch_reference.match(features, *banks, model.head, model.counts)
    right = Peaks(*(values.numpy() for values in expected))
    tolerance = TOLERANCE[network.precision]
    both = shared_peaks(found, right, tolerance)
    score, should = (peaks.neighbourhood[..., 1, 1] for peaks in (found, right))
    differences = (
        apart(score[..., 0], should[..., 0]),
        apart(both.of_one(score), both.of_other(should)),
        apart(both.of_one(found.soft_clutter), both.of_other(right.soft_clutter)),
    )
    error = float(max(values.max(initial=0.0) for values in differences))
    good = error <= tolerance and both.unexplained == 0
    same = float((found.index == right.index).mean())
    name = against_the_cpu(network.precision)
    return checked(name, good, error=error, same_cells=same, unexplained=both.unexplained)


def apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """|one − other|: 0 where neither has a peak (−∞), ∞ for NaN."""
    with np.errstate(invalid="ignore"):
        return np.asarray(
            np.where(one == other, 0, np.nan_to_num(np.abs(one - other), nan=np.inf, posinf=np.inf))
        )


def against_the_cpu(precision: str) -> str:
    """What the row of `agreement` is called."""
    return f"{precision} against the CPU"


def smaller(model: Bundled) -> Bundled:
    """For the interpreter: the same network on smaller crops, with few prototypes and little clutter."""
    counts = None if model.counts is None else model.counts[:20]
    return dataclasses.replace(
        model, width=32, height=32, prototypes=model.prototypes[:2], clutter=model.clutter[:20], counts=counts
    )


def generated(size: tuple[int, int] = FRAME, count: int = FRAMES) -> Frames:
    """Noise at several scales: no frame like another, nothing that a cache or a power gate could know."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 200, (count, size[0] // 16, size[1] // 16, 3), np.uint8)
    grown = coarse.repeat(16, axis=1).repeat(16, axis=2)
    return np.asarray(grown + rng.integers(0, 56, grown.shape, np.uint8))


def about(plan: Plan, options: Options, failed: dict[str, str]) -> dict[str, Any]:
    """A result without its rows; `failed` says which there are not, and why."""
    thresholds = {name: float(value) for name, value in dataclasses.asdict(plan.rule).items()}
    order = ORDER.format(
        slices=plan.slices, least=plan.least, seconds=plan.seconds, lead=plan.lead, energy=plan.energy_seconds
    )
    return {
        "schema": SCHEMA,
        "kind": "bench",
        "command": "python -m coke_edge.benchmarks.gpu_check --only bench --out DIR"
        + (" --device interpreter" if options.small else ""),
        "taken": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": environment.versions(),
        "protocol": {
            "region": REGION,
            "source": f"generated: {FRAMES} frames of {FRAME[1]} × {FRAME[0]}, noise at two scales; objects: boxes of "
            "half the frame's width and nine tenths of its height, side by side",
            "frame": list(FRAME),
            "seconds": plan.seconds * plan.slices,
            "steady_rule": plan.rule.words(),
            "steady_thresholds": thresholds,
            "order": order,
        },
        "extra": {"failed": failed} if failed else {},
    }


def machine() -> dict[str, Any]:
    """`bench.result.Machine` of what is under us."""
    host, smi, gpu = environment.host(), environment.nvidia_smi(), environment.torch_gpu()
    identity = f"coke-edge gpu check: {uuid.getnode():x} {host['cpu']} {gpu.get('name')}"
    return {
        "name": hashlib.sha256(identity.encode()).hexdigest()[:12],
        "processor": host["cpu"],
        "cores": host["cores"],
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": host["system"],
        "gpu": gpu.get("name"),
        "driver": smi.get("driver_version"),
    }

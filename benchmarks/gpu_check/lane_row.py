"""A lane as a row of `bench.result.Result`, in plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from coke_edge.benchmarks.bench.jitter import jitter
from coke_edge.benchmarks.gpu_check.bundled import Bundled
from coke_edge.benchmarks.gpu_check.lanes import PACED, Lane, Plan
from coke_edge.benchmarks.gpu_check.memory import MEANING
from coke_edge.benchmarks.gpu_check.smi import Smi

ABSENT = {
    "accuracy": "this machine has no data set; latency does not depend on what is in the frame",
    "first_result_ms": "kernels are compiled at first use here, which a device does not do",
    "resident_bytes": "not what a device's process holds: torch is in it",
    "throttled": "nvidia-smi is asked for clocks, not for reasons",
}


def row(lane: Lane, model: Bundled, plan: Plan, smi: Smi) -> dict[str, Any]:
    """Of a lane that did not break and had one stretch at least."""
    assert lane.warm is not None
    seconds = sum(last - first for first, last in lane.spans)
    sensors, absent = smi.readings(lane.spans)
    sensors |= energies(lane)
    if lane.energy is None:
        absent |= dict.fromkeys(("gpu power", "gpu energy"), lane.no_energy)
    if lane.gpu_bytes is None:
        absent["gpu_bytes"] = "there is no GPU"
    parts = dict(lane.parts)
    if lane.mode == PACED:
        parts["wait"] = lane.waits
    stages = {stage: float(np.mean(values)) for stage, values in parts.items()}
    stages["other"] = float(np.mean(lane.samples)) - sum(stages.values())
    notes = [] if lane.gpu_bytes is None else [MEANING]
    if len(lane.slices) < plan.slices:
        notes.append(f"time ran out after {len(lane.slices)} rounds")
    return {
        "model": model.name,
        "sha256": model.sha256,
        "backend": "torch",
        "precision": lane.precision,
        "batch": lane.batch,
        "threads": 0,
        "mode": lane.mode,
        "input_size": [model.height, model.width],
        "fps_asked": plan.fps if lane.mode == PACED else None,
        "fps": lane.batch * len(lane.samples) / seconds,
        "latency_ms": latency(lane.samples, lane.slices),
        "stages_ms": stages,
        "warm_up": lane.warm.to_row(),
        "warm_up_ms": rounded(lane.warm.samples),
        "gpu_bytes": lane.gpu_bytes,
        "sensors": sensors,
        "absent": absent | ABSENT,
        "late_frames": lane.late if lane.mode == PACED else None,
        "samples_ms": rounded(lane.samples),
        "slices": lane.slices,
        "stage_samples_ms": {stage: rounded(values) for stage, values in parts.items()},
        "notes": notes,
    }


def energies(lane: Lane) -> dict[str, dict[str, Any]]:
    """Power and energy of a call as readings, if they were counted."""
    counted = lane.energy
    if counted is None:
        return {}
    return {
        "gpu power": reading("W", counted.joules / counted.seconds, 1),
        "gpu energy": reading("J per frame", counted.joules / counted.calls, counted.calls),
    }


def reading(unit: str, mean: float, count: int) -> dict[str, Any]:
    """`bench.result.Reading` of what is known as a mean alone."""
    return {"unit": unit, "mean": mean, "least": mean, "most": mean, "count": count}


def rounded(samples: Sequence[float]) -> list[float]:
    """To a tenth of a microsecond: no clock here tells more."""
    return [round(value, 4) for value in samples]


def latency(samples: Sequence[float], slices: Sequence[int]) -> dict[str, float]:
    """`bench.result.Latency` of these milliseconds, in stretches of those lengths."""
    values = np.asarray(samples)
    found = {f"p{q}": float(np.percentile(values, q)) for q in (50, 90, 95, 99)}
    mean = float(values.mean())
    return {**found, "max": float(values.max()), "mean": mean, "jitter": jitter(samples, slices)}

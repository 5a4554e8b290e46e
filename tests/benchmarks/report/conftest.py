"""Results of a benchmark that never ran: made up, for what is made of results."""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Callable

import pytest

from coke_edge.benchmarks.bench.result import (
    Accuracy,
    Latency,
    Machine,
    Mode,
    Protocol,
    Reading,
    Result,
    Row,
)

HOSTILE = "<img src=x onerror=alert(1)> | `a` _b_ ]] & \"c\" 'd'\u202e\x00.coke"
TORSO = "PCK@0.2 of the torso, visible keypoints"


def latency(samples: list[float]) -> Latency:
    """Percentiles by rank."""
    ordered = sorted(samples)
    p50, p90, p95, p99 = (
        ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.5, 0.9, 0.95, 0.99)
    )
    steps = [abs(b - a) for a, b in itertools.pairwise(samples)]
    return Latency(
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        max=ordered[-1],
        mean=statistics.fmean(samples),
        jitter=statistics.fmean(steps),
    )


def row_of(
    middle: float = 9.0,
    count: int = 400,
    model: str = "person.coke",
    precision: str = "fp32",
    mode: Mode = "back to back",
    accuracy: float | None = 80.5,
    batch: int = 1,
    threads: int = 2,
    throttled: bool | None = None,
    steady: float = 1.0,
    seed: int = 0,
    backend: str = "onnxruntime",
) -> Row:
    """A row with a late call now and then."""
    draw = random.Random(f"{middle} {count} {precision} {mode} {seed}")
    samples = [
        middle * (1 + draw.lognormvariate(-3, 0.8)) + (3 * middle if draw.random() < 0.006 else 0)
        for _ in range(count)
    ]
    mean = statistics.fmean(samples)
    parts = {"warp": 0.06, "backbone": 0.8, "head": 0.07, "decode": 0.03}
    stages = {name: share * mean for name, share in parts.items()}
    return Row(
        model=model,
        sha256="0123456789abcdef" * 4,
        backend=backend,
        precision=precision,
        batch=batch,
        threads=threads,
        mode=mode,
        input_size=(256, 256),
        fps_asked=30.0 if mode == "paced" else None,
        fps=30.0 if mode == "paced" else 1000 * batch / mean,
        latency_ms=latency(samples),
        stages_ms={**stages, "other": mean - sum(stages.values())},
        warm_up={"calls": 60.0, "seconds": 0.9, "steady": steady},
        warm_up_ms=[middle * (1.1 + 12 * draw.random() / (1 + i)) for i in range(60)],
        slices=[count // 8] * 7 + [count - 7 * (count // 8)],
        first_result_ms=640.0 + 10 * seed,
        resident_bytes=183_500_800 + 3_000_000 * seed,
        sensors={
            "cpu clock": Reading(unit="MHz", mean=2890.0 + seed, least=2790.0, most=3010.0, count=20),
            "cpu temperature": Reading(unit="°C", mean=52.5 + seed, least=49.0, most=56.0, count=20),
        },
        absent={
            "gpu power": "there is no GPU",
            "cpu power": "RAPL: energy_uj may only be read by root",
            "throttled": "the kernel keeps no count",
        },
        throttled=throttled,
        late_frames=2 if mode == "paced" else None,
        accuracy=None
        if accuracy is None
        else Accuracy(measure=TORSO, value=accuracy, dataset="LSP", split="test", objects=1000),
        samples_ms=samples,
        notes=["The head's share is of a profiled run."] if precision == "int8" else [],
    )


@pytest.fixture
def make_row() -> Callable[..., Row]:
    """Function (middle in ms, count, model, precision, …) → a row."""
    return row_of


def result_of(rows: list[Row] | None = None, **changes: object) -> Result:
    """A result with five rows, or with those given."""
    if rows is None:
        rows = [
            row_of(12.7),
            row_of(12.9, 300, mode="paced", seed=1),
            row_of(6.1, 900, precision="int8", accuracy=80.3, seed=2),
            row_of(6.4, 300, precision="int8", mode="paced", accuracy=80.3, seed=3),
            row_of(38.0, 120, precision="int8", batch=8, accuracy=80.3, seed=4),
        ]
    fields = {
        "command": "coke-edge bench person.coke --precisions fp32,int8 --seconds 5",
        "taken": "2026-01-02T03:04:05Z",
        "machine": Machine(
            name="1a2b3c4d",
            processor="Made-up CPU",
            cores=2,
            memory_bytes=8 * 2**30,
            system="Linux-6 x86_64",
            vnni=False,
        ),
        "versions": {"python": "3.11.7", "onnxruntime": "1.32.0", "coke-edge": "0.1.0"},
        "protocol": Protocol(
            region="from the decoded frame in memory to its keypoints in pixels of the frame",
            source="noise.png, sha256 00ff",
            frame=(480, 640),
            seconds=5.0,
            steady_rule="the medians of the last three windows lie within 2 % of each other",
            steady_thresholds={"window_calls": 20.0, "within_percent": 2.0},
            order="rows take turns, eight slices each",
        ),
        "rows": rows,
    }
    return Result(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def make_result() -> Callable[..., Result]:
    """Function (rows, fields of Result) → a result."""
    return result_of

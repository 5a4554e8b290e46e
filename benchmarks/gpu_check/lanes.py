"""The packaged model through torch and our kernels: one precision and batch, called as fast as it goes or in pace."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coke_edge.benchmarks.bench.steady import Rule, WarmUp, warm_up
from coke_edge.benchmarks.gpu_check.bundled import Bundled
from coke_edge.benchmarks.gpu_check.smi import Smi, Span
from coke_edge.geometry import box_to_crop, invert
from coke_edge.kernels.reference import Peaks
from coke_edge.kernels.torch_parts import PRECISIONS, fused_parts
from coke_edge.kernels.torch_pipeline import STAGES, TorchPipeline, free_memory

Frames = NDArray[np.uint8]  # [n, H, W, 3] BGR
BACK_TO_BACK, PACED = MODES = "back to back", "paced"


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is measured."""

    # Precision → batches, each in these modes.
    networks: tuple[tuple[str, tuple[int, ...], tuple[str, ...]], ...] = (
        ("fp16", (1, 4, 16), MODES),
        ("fp32", (1,), (BACK_TO_BACK,)),
    )
    slices: int = 8
    seconds: float = 0.3  # of a stretch
    lead: int = 3  # calls at the start of a stretch that do not count
    least: int = 20  # calls of a stretch that do
    fps: float = 30.0
    rule: Rule = dataclasses.field(default_factory=lambda: Rule(most_seconds=2.0))
    most_seconds: float = 38.0  # of all; each mode has half of it, and begins no further round then


class Network:
    """The model in one precision on a device, for any batch."""

    def __init__(self, model: Bundled, precision: str, device: str) -> None:
        self.precision = precision
        dtype = PRECISIONS[precision]
        before = free_memory(device)
        network = GraphCopy(model, dtype, device)
        parts = fused_parts(
            network, model.prototypes, model.clutter, model.head, width=model.width, height=model.height,
            border=model.border, crops=torch.uint8, dtype=dtype, device=device,
        )  # fmt: skip
        self.pipeline = TorchPipeline(parts, device)
        self._before, self._device = before, device

    def gpu_bytes(self) -> int | None:
        """That it took until now; None on a CPU."""
        return self._before - free_memory(self._device) if self._device != "cpu" else None


class GraphCopy:
    """The network's weights in a dtype on a device; the model's own stay as they are."""

    def __init__(self, model: Bundled, dtype: torch.dtype, device: str) -> None:
        network = copy.deepcopy(model.network).to(device, dtype)
        self._network = network.to(memory_format=torch.channels_last)

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._network(crops)
        return found


class Lane:
    """One row to be: a network, a batch and a mode, with what was measured of it so far."""

    def __init__(self, network: Network, model: Bundled, batch: int, mode: str, frames: Frames) -> None:
        self.network, self.batch, self.mode = network, batch, mode
        self._frames, self._next = frames, 0
        self._inverses = regions(model, frames.shape[1], frames.shape[2], batch)
        self.warm: WarmUp | None = None
        self.samples: list[float] = []
        self.parts: dict[str, list[float]] = {stage: [] for stage in STAGES}
        self.waits: list[
            float
        ] = []  # of paced calls: from when the frame was due to the start of the work on it
        self.slices: list[int] = []
        self.spans: list[Span] = []
        self.late = 0

    @property
    def name(self) -> str:
        """Of the row."""
        return f"{self.network.precision}, batch {self.batch}, {self.mode}"

    def call(self) -> tuple[float, dict[str, float], Peaks]:
        """Milliseconds of one call, of its stages, and its peaks. The next call takes the next frame."""
        frame = self._frames[self._next % len(self._frames)]
        self._next += 1
        start = time.perf_counter()
        peaks, parts = self.network.pipeline.stages(frame, self._inverses)
        return 1e3 * (time.perf_counter() - start), parts, peaks

    def warm_up(self, rule: Rule) -> None:
        """Until calls are steady by the rule."""
        self.warm = warm_up(lambda: self.call()[0], rule)

    def stretch(self, plan: Plan) -> None:
        """One turn: calls that do not count, then those that do."""
        begun, since = time.perf_counter(), math.inf
        made = index = 0
        first = len(self.samples)
        while made < plan.lead + plan.least or time.perf_counter() - since < plan.seconds:
            counts = made >= plan.lead
            if counts and since == math.inf:
                since = time.perf_counter()
            due = None
            if self.mode == PACED:
                newest = int((time.perf_counter() - begun) * plan.fps)
                if newest >= index:
                    self.late += counts * (newest - index + 1)
                    index = newest  # those before it were never taken
                due = begun + index / plan.fps
            self._one(due, counts)
            made, index = made + 1, index + 1
        self.slices.append(len(self.samples) - first)
        self.spans.append((since, time.perf_counter()))

    def _one(self, due: float | None, counts: bool) -> None:
        """One call; a paced one waits for its frame, and its latency runs from the moment when that was due."""
        wait = 0.0
        if due is not None:
            time.sleep(max(0.0, due - time.perf_counter()))
            wait = 1e3 * (time.perf_counter() - due)
        whole, parts, _ = self.call()
        if counts:
            self.samples.append(wait + whole)
            self.waits.append(wait)
            for stage, took in parts.items():
                self.parts[stage].append(took)


def regions(model: Bundled, height: int, width: int, count: int) -> list[NDArray[np.float64]]:
    """Affines [B, 2, 3] from the crops of boxes side by side, half the frame wide, to the frame."""
    places = [0.25] if count == 1 else np.linspace(0.0, 0.5, count).tolist()
    boxes = [(place * width, 0.05 * height, (place + 0.5) * width, 0.95 * height) for place in places]
    return [invert(box_to_crop(box, model.width, model.height)) for box in boxes]


def row(lane: Lane, model: Bundled, plan: Plan, smi: Smi) -> dict[str, Any]:
    """The lane as a row of `bench.result.Result`, in plain values."""
    assert lane.warm is not None
    seconds = sum(last - first for first, last in lane.spans)
    sensors, absent = smi.readings(lane.spans)
    if "gpu power" in sensors:
        joules = sensors["gpu power"]["mean"] * seconds / len(lane.samples)
        sensors["gpu energy"] = {
            "unit": "J per frame", "mean": joules, "least": joules, "most": joules, "count": len(lane.samples)
        }  # fmt: skip
    parts = dict(lane.parts)
    if lane.mode == PACED:
        parts["wait"] = lane.waits
    stages = {stage: float(np.mean(values)) for stage, values in parts.items()}
    stages["other"] = float(np.mean(lane.samples)) - sum(stages.values())
    taken = lane.network.gpu_bytes()
    absent |= {"gpu_bytes": "there is no GPU"} if taken is None else {}
    return {
        "model": model.name,
        "sha256": model.sha256,
        "backend": "torch",
        "precision": lane.network.precision,
        "batch": lane.batch,
        "threads": 0,
        "mode": lane.mode,
        "input_size": [model.height, model.width],
        "fps_asked": plan.fps if lane.mode == PACED else None,
        "fps": lane.batch * len(lane.samples) / seconds,
        "latency_ms": latency(lane.samples),
        "stages_ms": stages,
        "warm_up": lane.warm.to_row(),
        "warm_up_ms": rounded(lane.warm.samples),
        "gpu_bytes": taken,
        "sensors": sensors,
        "absent": absent | ABSENT,
        "late_frames": lane.late if lane.mode == PACED else None,
        "samples_ms": rounded(lane.samples),
        "slices": lane.slices,
        "stage_samples_ms": {stage: rounded(values) for stage, values in parts.items()},
        "notes": [] if len(lane.slices) == plan.slices else [f"time ran out after {len(lane.slices)} rounds"],
    }


ABSENT = {
    "accuracy": "this machine has no data set; latency does not depend on what is in the frame",
    "first_result_ms": "kernels are compiled at first use here, which a device does not do",
    "resident_bytes": "not what a device's process holds: torch is in it",
    "throttled": "nvidia-smi is asked for clocks, not for reasons",
}


def rounded(samples: Sequence[float]) -> list[float]:
    """To a tenth of a microsecond: no clock here tells more."""
    return [round(value, 4) for value in samples]


def latency(samples: list[float]) -> dict[str, float]:
    """`bench.result.Latency` of these milliseconds."""
    values = np.asarray(samples)
    found = {f"p{q}": float(np.percentile(values, q)) for q in (50, 90, 95, 99)}
    jitter = float(np.abs(np.diff(values)).mean()) if len(values) > 1 else 0.0
    return {**found, "max": float(values.max()), "mean": float(values.mean()), "jitter": jitter}

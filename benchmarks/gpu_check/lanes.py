"""The packaged model through torch and our kernels: one precision and batch, called as fast as it goes or in pace."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from coke_edge.benchmarks.bench.steady import Rule, WarmUp, warm_up
from coke_edge.benchmarks.gpu_check import energy
from coke_edge.benchmarks.gpu_check.bundled import Bundled
from coke_edge.benchmarks.gpu_check.energy import Counter, Energy, UncountedError
from coke_edge.benchmarks.gpu_check.memory import Taken, give_back
from coke_edge.benchmarks.gpu_check.rows import reason_of
from coke_edge.benchmarks.gpu_check.smi import Span
from coke_edge.geometry import box_to_crop, invert
from coke_edge.kernels.torch_parts import PRECISIONS, fused_parts
from coke_edge.kernels.torch_pipeline import STAGES, TorchPipeline

Frames = NDArray[np.uint8]  # [n, H, W, 3] BGR
BACK_TO_BACK, PACED = MODES = "back to back", "paced"
FIRST_CALLS = 3  # as it is, recorded, replayed


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
    least: int = 12  # calls of a stretch that do
    fps: float = 30.0
    rule: Rule = dataclasses.field(default_factory=lambda: Rule(most_seconds=2.0))
    most_seconds: float = 32.0  # of all turns; each mode has half of it, and begins no further round then
    energy_seconds: float = energy.SECONDS  # of each row, after all turns
    energy_most: float = 10.0  # of all rows together: then no further one is begun


class Network:
    """The model in one precision on a device, for one number of objects; its memory is its own."""

    def __init__(self, model: Bundled, precision: str, batch: int, frames: Frames, device: str) -> None:
        """Makes the first calls, too: then it is compiled and recorded, and has all that it will ever take."""
        self.precision, self.batch = precision, batch
        self.inverses = regions(model, frames.shape[1], frames.shape[2], batch)
        taken, dtype = Taken(device), PRECISIONS[precision]
        parts = fused_parts(
            GraphCopy(model, dtype, device), model.prototypes, model.clutter, model.head, counts=model.counts,
            width=model.width, height=model.height, border=model.border, crops=torch.uint8, dtype=dtype,
            device=device,
        )  # fmt: skip
        self.pipeline = TorchPipeline(parts, device)
        for _ in range(0 if device == "cpu" else FIRST_CALLS):  # there is nothing to record on a CPU
            self.pipeline(frames[0], self.inverses)
        self.gpu_bytes = taken.most()  # None on a CPU


class GraphCopy:
    """The network's weights in a dtype on a device; the model's own stay as they are."""

    def __init__(self, model: Bundled, dtype: torch.dtype, device: str) -> None:
        network = copy.deepcopy(model.network).to(device, dtype)
        self._network = network.to(memory_format=torch.channels_last)

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._network(crops)
        return found


class Lane:
    """One row to be: a network and a mode, with what was measured of it so far, or why it broke."""

    def __init__(self, network: Network, mode: str, frames: Frames) -> None:
        self.precision, self.batch, self.mode = network.precision, network.batch, mode
        self.gpu_bytes = network.gpu_bytes
        self._network: Network | None = network
        self._frames, self._next = frames, 0
        self.error = ""
        self.warm: WarmUp | None = None
        self.samples: list[float] = []
        self.parts: dict[str, list[float]] = {stage: [] for stage in STAGES}
        self.waits: list[float] = []  # of paced calls: from when the frame was due to the start of the work
        self.slices: list[int] = []
        self.spans: list[Span] = []
        self.late = 0
        self.energy: Energy | None = None
        self.no_energy = "no time was left for it"

    @property
    def name(self) -> str:
        """Of the row."""
        return name_of(self.precision, self.batch, self.mode)

    def guarded(self, work: Callable[[], object]) -> None:
        """A piece of its work; where that raises, the lane is out of the run and its memory goes to the others."""
        if self.error:
            return
        try:
            work()
        except Exception as error:
            self.error, self._network = reason_of(error), None
        if self.error:  # not before: what was raised holds the memory of the calls that it came through
            give_back()

    def call(self) -> tuple[float, dict[str, float]]:
        """Milliseconds of one call and of its stages. The next call takes the next frame."""
        assert self._network is not None
        frame = self._frames[self._next % len(self._frames)]
        self._next += 1
        start = time.perf_counter()
        _, parts = self._network.pipeline.stages(frame, self._network.inverses)
        return 1e3 * (time.perf_counter() - start), parts

    def warm_up(self, rule: Rule) -> None:
        """Until calls are steady by the rule."""
        self.warm = warm_up(lambda: self.call()[0], rule)

    def stretch(self, plan: Plan) -> None:
        """One turn: calls that do not count, then those that do."""
        pace, made, since = self._pace(plan), 0, math.inf
        first = len(self.samples)
        while made < plan.lead + plan.least or time.perf_counter() - since < plan.seconds:
            counts = made >= plan.lead
            if counts and since == math.inf:
                since = time.perf_counter()
            due, late = pace.next() if pace else (None, 0)
            self.late += counts * late
            self._one(due, counts)
            made += 1
        self.slices.append(len(self.samples) - first)
        self.spans.append((since, time.perf_counter()))

    def measure_energy(self, plan: Plan, counter: Counter) -> None:
        """What calls take, in a stretch of its own whose latency does not count."""
        pace = self._pace(plan)
        try:
            self.energy = energy.energy(
                lambda: self._one(pace.next()[0] if pace else None, counts=False),
                counter,
                plan.energy_seconds,
            )
        except UncountedError as error:
            self.no_energy = str(error)

    def _pace(self, plan: Plan) -> Pace | None:
        return Pace(plan.fps) if self.mode == PACED else None

    def _one(self, due: float | None, counts: bool) -> None:
        """One call; a paced one waits for its frame, and its latency runs from the moment when that was due."""
        wait = 0.0
        if due is not None:
            time.sleep(max(0.0, due - time.perf_counter()))
            wait = 1e3 * (time.perf_counter() - due)
        whole, parts = self.call()
        if counts:
            self.samples.append(wait + whole)
            self.waits.append(wait)
            for stage, took in parts.items():
                self.parts[stage].append(took)


class Pace:
    """A camera's frames, from now on; only the newest is ever taken."""

    def __init__(self, fps: float) -> None:
        self._fps, self._begun, self._index = fps, time.perf_counter(), 0

    def next(self) -> tuple[float, int]:
        """When the next frame is due (`time.perf_counter`), and how many came while the work before was not done."""
        newest, late = int((time.perf_counter() - self._begun) * self._fps), 0
        if newest >= self._index:
            late, self._index = newest - self._index + 1, newest  # those before it were never taken
        due = self._begun + self._index / self._fps
        self._index += 1
        return due, late


def name_of(precision: str, batch: int, mode: str) -> str:
    """What a row is called."""
    return f"{precision}, batch {batch}, {mode}"


def regions(model: Bundled, height: int, width: int, count: int) -> list[NDArray[np.float64]]:
    """Affines [B, 2, 3] from the crops of boxes side by side, half the frame wide, to the frame."""
    places = [0.25] if count == 1 else np.linspace(0.0, 0.5, count).tolist()
    boxes = [(place * width, 0.05 * height, (place + 0.5) * width, 0.95 * height) for place in places]
    return [invert(box_to_crop(box, model.width, model.height)) for box in boxes]

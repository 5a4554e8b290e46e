"""A lane and what was found beside it, as the row of a result."""

from __future__ import annotations

import dataclasses

import numpy as np

from coke_edge.benchmarks.bench import first_result
from coke_edge.benchmarks.bench.first_result import FirstResult
from coke_edge.benchmarks.bench.graph_profile import head_share
from coke_edge.benchmarks.bench.lane import OTHER, Lane
from coke_edge.benchmarks.bench.model import Model
from coke_edge.benchmarks.bench.result import Accuracy, Reading, Row
from coke_edge.benchmarks.bench.settings import Setting, Settings
from coke_edge.benchmarks.bench.steady import WarmUp

NETWORK, BACKBONE, HEAD = "network", "backbone", "head"
MOST_OTHER = 0.03  # of the whole; more is said in the notes
SPLIT = (
    "backbone and head run as one graph: its time is split by a profiled run of the same graph (which slows the head's "
    "many small nodes down more, so that it has rather less than that); the samples have the graph's whole time"
)
NOT_STEADY = (
    "the warm-up ended after {seconds:.1f} s without becoming steady: distrust the figures of this row"
)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a row has beside its samples."""

    warm: WarmUp
    sensors: tuple[dict[str, Reading], dict[str, str], bool | None]
    first: list[FirstResult]
    accuracy: Accuracy | None


def row_of(lane: Lane, model: Model, settings: Settings, measured: Measured) -> Row:
    """The row, with all that is odd about it in its notes."""
    setting, tally, size = lane.setting, lane.tally, lane.detector.spec.input
    readings, absent, throttled = measured.sensors
    stages, notes = split(tally.stages(), setting, model)
    if not measured.warm.steady:
        notes.insert(0, NOT_STEADY.format(seconds=measured.warm.seconds))
    mean, paced = float(np.mean(tally.whole)), setting.mode == "paced"
    if stages[OTHER] > MOST_OTHER * mean:
        notes.append(f"the stages leave {100 * stages[OTHER] / mean:.1f} % of the whole to none of them")
    if tally.throttling:
        notes.append(f"the clocks were held down: {'; '.join(dict.fromkeys(tally.throttling))}")
    if tally.dropped:
        notes.append(f"{tally.dropped} of the late frames were replaced by a newer one and never worked on")
    busy = tally.seconds if paced else sum(tally.whole) / 1e3
    first = first_result.median(measured.first) if measured.first else None
    absent = {**absent, **first_result.absent(first, no_gpu(setting.artefact.backend))}
    if measured.accuracy is None:
        absent["accuracy"] = "no data set was named: add --data"
    return Row(
        model=model.name,
        sha256=model.sha256,
        backend=setting.artefact.backend,
        precision=str(getattr(lane.detector.backend, "precision", setting.artefact.precision)),
        batch=setting.batch,
        threads=setting.artefact.threads,
        mode=setting.mode,
        input_size=(size.height, size.width),
        fps_asked=settings.fps if paced else None,
        fps=setting.batch * len(tally.whole) / busy,
        latency_ms=tally.latency(),
        stages_ms=stages,
        outside_ms={"draw": float(np.mean(tally.draw))},
        warm_up=measured.warm.to_row(),
        warm_up_ms=list(measured.warm.samples),
        first_result_ms=first.ms if first else None,
        first_result_samples_ms=[result.ms for result in measured.first],
        resident_bytes=first.resident_bytes if first else None,
        peak_bytes=first.peak_bytes if first else None,
        gpu_bytes=first.gpu_bytes if first else None,
        sensors=readings,
        absent=absent,
        throttled=throttled,
        late_frames=tally.late if paced else None,
        accuracy=measured.accuracy,
        samples_ms=tally.whole,
        stage_samples_ms=tally.parts,
        slices=tally.slices,
        notes=notes,
    )


def no_gpu(backend: str) -> str:
    """Why a backend told nothing of a GPU's memory."""
    if backend == "onnxruntime":
        return "onnxruntime runs on the CPU here"
    return f"the backend {backend} does not tell what it takes of a GPU"


def split(stages: dict[str, float], setting: Setting, model: Model) -> tuple[dict[str, float], list[str]]:
    """The stages with backbone and head apart, where a profile tells them, and a note that says so."""
    artefact = setting.artefact
    if NETWORK not in stages or artefact.backend != "onnxruntime" or model.bundle is None:
        return stages, []
    precision = "fp32" if artefact.precision == "auto" else artefact.precision
    part = head_share(model.bundle, precision, artefact.threads, setting.batch)
    if part is None:
        return stages, []
    found: dict[str, float] = {}
    for name, value in stages.items():
        apart = {BACKBONE: (1 - part) * value, HEAD: part * value}
        found |= apart if name == NETWORK else {name: value}
    return found, [SPLIT]

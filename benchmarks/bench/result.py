"""`result.json`: what was measured, on what, how, and every sample of it.

Times are milliseconds, sizes bytes, accuracies percent. What a machine cannot tell is None with its reason in
`Absent`, never zero and never left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from coke_edge.errors import CokeError
from coke_edge.files import replacing

SCHEMA = 1
Mode = Literal["back to back", "paced"]
Stage = Literal[
    "wait", "capture", "warp", "upload", "network", "backbone", "head", "download", "decode", "other"
]


class Machine(msgspec.Struct, kw_only=True, frozen=True):
    """Where it was measured. Two results are comparable only if `name`, `processor`, `vnni` and `gpu` agree."""

    name: str  # what tells this machine from others of its kind; a hash, not its host name
    processor: str
    cores: int
    memory_bytes: int
    system: str
    gpu: str | None = None
    driver: str | None = None
    power_mode: str | None = None  # nvpmodel's on a Jetson
    governor: str | None = None  # of the CPU's clock
    vnni: bool | None = None  # whether the processor has 8-bit dot products; None: not known


class Protocol(msgspec.Struct, kw_only=True, frozen=True):
    """How it was measured, with all thresholds: enough to do it again."""

    region: str  # in words: where the clock starts and where it stops
    source: str  # what frames: a file's name and sha256, or how they are generated
    frame: tuple[int, int]  # height, width
    seconds: float  # asked for, for every row
    steady_rule: str  # in words, when the warm-up ends
    steady_thresholds: dict[str, float]
    order: str  # in words: how rows take turns


class Latency(msgspec.Struct, kw_only=True, frozen=True):
    """Of one call, over the samples after the warm-up."""

    p50: float
    p90: float
    p95: float
    p99: float
    max: float
    mean: float
    jitter: float  # mean absolute difference of successive samples of the same stretch


class Accuracy(msgspec.Struct, kw_only=True, frozen=True):
    """Of the very artefact, backend and precision of the row."""

    measure: str  # "PCK@0.2 of the torso, visible keypoints"
    value: float  # percent
    dataset: str
    split: str
    objects: int


class Reading(msgspec.Struct, kw_only=True, frozen=True):
    """One sensor over the samples of a row."""

    unit: str  # MHz, °C, W, J per frame, …
    mean: float
    least: float
    most: float
    count: int


class Row(msgspec.Struct, kw_only=True, frozen=True):
    """One artefact, run in one way."""

    model: str  # file name, or a peer's name
    sha256: str  # of the artefact
    backend: str
    precision: str
    batch: int
    threads: int  # 0: left to the backend
    mode: Mode
    input_size: tuple[int, int]  # height, width of the network's input
    fps_asked: float | None = None  # of `paced`
    fps: float  # objects per second that came out
    latency_ms: Latency
    # Mean of each Stage. "other" is what they leave of `latency_ms.mean`; "wait", of paced rows, is from the moment a
    # frame was due to the start of the work on it.
    stages_ms: dict[str, float]
    outside_ms: dict[str, float] = {}  # beside the timed region, for the same frames: "draw"
    warm_up: dict[str, float]  # calls, seconds, steady (1 or 0)
    first_result_ms: float | None = None  # a cold process: from its start to its first keypoints
    first_result_samples_ms: list[float] = []
    resident_bytes: int | None = None  # of that process, once it had its keypoints
    peak_bytes: int | None = None  # the most that it had until then
    gpu_bytes: int | None = (
        None  # what its backend took of a GPU then, CUDA's own context apart, by its own account
    )
    sensors: dict[str, Reading] = {}
    absent: dict[str, str] = {}  # what could not be read → why
    throttled: bool | None = None
    late_frames: int | None = None  # of `paced`: frames that came while the one before was not done
    accuracy: Accuracy | None = None
    samples_ms: list[float]  # of every call after the warm-up, in order
    slices: list[
        int
    ] = []  # lengths of the stretches of `samples_ms`, between which other rows had their turns
    stage_samples_ms: dict[str, list[float]] = {}  # by Stage; as long as `samples_ms` and in its order
    warm_up_ms: list[float] = []  # of every call of the warm-up, in order
    notes: list[str] = []


class Result(msgspec.Struct, kw_only=True, frozen=True):
    """One run of the benchmark."""

    schema: int = SCHEMA
    kind: Literal["bench", "peers"] = "bench"
    command: str  # that gives such a result again
    taken: str  # ISO 8601, UTC
    machine: Machine
    versions: dict[str, str]
    protocol: Protocol
    rows: list[Row]
    turns: str | None = None  # results with the same mark were measured in turns, slice by slice
    extra: dict[str, Any] = {}


def write_result(result: Result, path: Path) -> None:
    """Write `path`, whole or not at all."""
    with replacing(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def read_result(path: Path) -> Result:
    """Raises CokeError if `path` holds no result, or one of another schema."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CokeError(f"cannot read {path}: {error.strerror}; `coke-edge bench` writes results") from None
    try:
        result = msgspec.json.decode(content, type=Result)
    except msgspec.DecodeError as error:
        raise CokeError(f"{path} is no result of `coke-edge bench`: {error}") from None
    if result.schema != SCHEMA:
        raise CokeError(f"{path} has schema {result.schema}, this version reads {SCHEMA}: measure again")
    return result

"""The race: accuracies, a warm-up for each, then everybody takes turns round by round, and the result of it."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import itertools
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import cv2

from coke_edge.benchmarks.bench import first_result
from coke_edge.benchmarks.bench.first_result import FirstResult
from coke_edge.benchmarks.bench.lane import Sample, Tally
from coke_edge.benchmarks.bench.result import Protocol, Result, Row
from coke_edge.benchmarks.bench.steady import Rule, WarmUp, warm_up
from coke_edge.benchmarks.bench.surroundings import describe
from coke_edge.benchmarks.environment import versions
from coke_edge.benchmarks.peers import accuracy, cold
from coke_edge.benchmarks.peers.peer import Contestant, Image
from coke_edge.benchmarks.sensors import Sensors, merge
from coke_edge.benchmarks.sensors.load import OTHERS
from coke_edge.benchmarks.sensors.merging import Stretch
from coke_edge.doctor.machine import Machine
from coke_edge.doctor.report import examine
from coke_edge.train.data.images import ImageCache
from coke_edge.train.data.sample import KeypointDataset
from coke_edge.train.data.sample import Sample as Labelled

FRAMES = 64  # images that are timed on, decoded beforehand
PAUSE = 0.02  # seconds before a turn, until the threads of the one before have stopped spinning
LEAD_IN = 3  # calls at the start of a turn that do not count
REGION = (
    "from the decoded frame in memory and the person's box to the keypoints in frame pixels, one person at a time: "
    'cutting the crop out and bringing it into the form that the network takes ("warp"), the network, and all from its '
    'output to the keypoints ("decode"); nobody runs a detector of persons'
)
ORDER = (
    "all rows take turns, a stretch of each in every one of {rounds} rounds, every other one backwards, after a pause "
    "of {pause:g} s and {lead} calls that do not count; everybody sees the same frames in the same order"
)
NO_GPU = "everybody runs on the CPU"
MOST_LOAD = 0.05  # cores that others may take without a word
BUSY = "other processes worked meanwhile: distrust the figures"
NOT_STEADY = "the warm-up ended without becoming steady"

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Course:
    """How long the race is."""

    seconds: float = 6.0  # of every row, at least
    rounds: int = 12
    least: int = 5  # calls of a turn, at least
    rule: Rule = dataclasses.field(default_factory=lambda: Rule(most_seconds=4.0))


class Lane:
    """A contestant on the course."""

    def __init__(self, contestant: Contestant, frames: Sequence[tuple[Image, Any]]) -> None:
        self.contestant = contestant
        self.tally = Tally()
        self.sensors = Sensors()
        self.stretches: list[Stretch] = []  # what they said, by turn
        self.calls = 0
        self._frames = itertools.cycle(frames)

    def call(self) -> Sample:
        """The next frame to its keypoints."""
        frame, box = next(self._frames)
        start = time.perf_counter()
        _, parts = self.contestant.stages(frame, box)
        end = time.perf_counter()
        self.calls += 1
        return Sample(1e3 * (end - start), parts, [])

    def turn(self, seconds: float, least: int) -> None:
        """A stretch of calls, with as many threads of OpenCV as the network has."""
        cv2.setNumThreads(self.contestant.card.threads)
        time.sleep(PAUSE)
        self.sensors.start()
        before = self.calls
        for _ in range(LEAD_IN):
            self.call()
        samples: list[Sample] = []
        start = time.perf_counter()
        while len(samples) < least or time.perf_counter() - start < seconds:
            samples.append(self.call())
        self.tally.seconds += time.perf_counter() - start
        self.tally.add(samples)
        frames = self.calls - before  # those that do not count used energy, too
        self.stretches.append((*self.sensors.stop(frames), frames))
        self.tally.throttling += self.sensors.causes


def race(
    contestants: Sequence[Contestant],
    dataset: KeypointDataset,
    course: Course,
    command: str,
    say: Say = lambda _: None,
    first: Sequence[Sequence[FirstResult]] = (),
) -> Result:
    """Measure everybody. `command` is what gives such a result again; `say` is told what is going on.

    `first` are the first results of fresh processes, in the order of the contestants; none if nobody asked for them.

    Raises CokeError, one sentence, if an image cannot be used or a network does not find people's joints.
    """
    measured = accuracies(contestants, dataset, say)
    frames = decoded(dataset.samples[:FRAMES])
    lanes = [Lane(contestant, frames) for contestant in contestants]
    warm = []
    for lane in lanes:
        say(f"warming up {words(lane.contestant)}")
        warm.append(warm_up(lambda lane=lane: lane.call().whole, course.rule))  # type: ignore[misc]
    for number in range(course.rounds):
        say(f"round {number + 1} of {course.rounds}")
        for lane in lanes if number % 2 == 0 else reversed(lanes):
            lane.turn(course.seconds / course.rounds, course.least)
    machine = Machine()
    began = list(first) or [[] for _ in contestants]
    return Result(
        kind="peers",
        command=command,
        taken=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        machine=describe(machine, examine(machine)),
        versions=versions() | litert_version(),
        protocol=protocol(course, dataset, frames[0][0]),
        rows=[
            row(lane, up, measured, dataset, some) for lane, up, some in zip(lanes, warm, began, strict=True)
        ],
        extra={"accuracy": measured, "margins": {c.card.artefact: c.card.margin for c in contestants}},
    )


def words(contestant: Contestant) -> str:
    """A contestant, for progress and sentences."""
    return f"{contestant.card.artefact}, {contestant.card.threads} thread(s)"


def accuracies(
    contestants: Sequence[Contestant], dataset: KeypointDataset, say: Say
) -> dict[str, dict[str, dict[str, float]]]:
    """PCK by artefact, as `accuracy.measure` gives it; threads change no result. Without those that have no weights."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for contestant in reversed(contestants):  # those with the most threads come last, and are done first
        name = contestant.card.artefact
        if name not in found and not contestant.card.unmeasurable:
            say(f"accuracy of {name}")
            found[name] = accuracy.measure(contestant, dataset)
    return found


def decoded(samples: Sequence[Labelled]) -> list[tuple[Image, Any]]:
    """Frames uint8 [H, W, 3] BGR with the boxes [4] of their persons."""
    images = ImageCache()
    return [(images.read(sample.image), sample.box) for sample in samples]


def protocol(course: Course, dataset: KeypointDataset, first: Image) -> Protocol:
    """How it is measured, in words and numbers."""
    timed = dataset.samples[:FRAMES]
    digest = hashlib.sha256()
    for sample in timed:
        digest.update(sample.image.read_bytes())
    return Protocol(
        region=f"{REGION}. {cold.WORDS[0].upper()}{cold.WORDS[1:]}",
        source=(
            f"{len(timed)} persons of {dataset.name}, {dataset.split} split, in their labelled boxes; the images' "
            f"sha256 together: {digest.hexdigest()}"
        ),
        frame=(first.shape[0], first.shape[1]),
        seconds=course.seconds,
        steady_rule=course.rule.words(),
        steady_thresholds=course.rule.thresholds(),
        order=ORDER.format(rounds=course.rounds, pause=PAUSE, lead=LEAD_IN),
    )


def litert_version() -> dict[str, str]:
    """Of LiteRT, if it is installed."""
    try:
        return {"ai-edge-litert": metadata.version("ai-edge-litert")}
    except metadata.PackageNotFoundError:
        return {}


def row(
    lane: Lane,
    warm: WarmUp,
    measured: dict[str, dict[str, dict[str, float]]],
    dataset: KeypointDataset,
    first: Sequence[FirstResult],
) -> Row:
    """A lane after the race."""
    card, tally = lane.contestant.card, lane.tally
    notes = [*card.notes, f"box times {card.margin:g}"]
    began = first_result.median(first) if first else None
    sensors, absent, throttled = merge(lane.stretches)
    absent |= first_result.absent(began, NO_GPU)
    if card.unmeasurable:
        absent["accuracy"] = card.unmeasurable
    if OTHERS in sensors and sensors[OTHERS].mean > MOST_LOAD:
        notes.append(BUSY)
    if tally.throttling:
        notes.append(f"the clocks were held down: {'; '.join(dict.fromkeys(tally.throttling))}")
    if not warm.steady:
        notes.append(NOT_STEADY)
    return Row(
        model=card.name,
        sha256=card.sha256,
        backend=card.backend,
        precision=card.precision,
        batch=1,
        threads=card.threads,
        mode="back to back",
        input_size=card.size,
        fps=len(tally.whole) / (sum(tally.whole) / 1e3),
        latency_ms=tally.latency(),
        stages_ms=tally.stages(),
        warm_up=warm.to_row(),
        first_result_ms=began.ms if began else None,
        first_result_samples_ms=[result.ms for result in first],
        resident_bytes=began.resident_bytes if began else None,
        peak_bytes=began.peak_bytes if began else None,
        sensors=sensors,
        absent=absent,
        throttled=throttled,
        accuracy=None if card.unmeasurable else accuracy.as_row(measured[card.artefact], dataset),
        samples_ms=tally.whole,
        stage_samples_ms=tally.parts,
        slices=tally.slices,
        notes=notes,
    )

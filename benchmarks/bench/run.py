"""The whole run: what is at hand, warm-ups, rows in turns, and the result of it."""

from __future__ import annotations

import dataclasses
import datetime
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from coke_edge.benchmarks.bench import accuracy, first_result, modes
from coke_edge.benchmarks.bench.first_result import FirstResult
from coke_edge.benchmarks.bench.frames import REGIONS, Frames, open_frames
from coke_edge.benchmarks.bench.lane import Lane, Sample
from coke_edge.benchmarks.bench.model import Model, open_detector, open_model, pairs
from coke_edge.benchmarks.bench.result import Accuracy, Protocol, Reading, Result, Row
from coke_edge.benchmarks.bench.row import Measured, row_of
from coke_edge.benchmarks.bench.settings import MODES, Artefact, Settings, rows
from coke_edge.benchmarks.bench.steady import WarmUp, warm_up
from coke_edge.benchmarks.bench.surroundings import describe, gpu_of
from coke_edge.benchmarks.environment import versions
from coke_edge.benchmarks.sensors import Sensors, merge
from coke_edge.benchmarks.sensors.merging import Stretch
from coke_edge.bundle import Bundle
from coke_edge.detector import Detector
from coke_edge.doctor.machine import Machine
from coke_edge.doctor.report import Facts, examine

REGION = (
    "from the moment the next frame is asked of its source (capture: a copy, or reading and decoding a file) to the "
    "keypoints of all objects in it as numpy arrays; in paced rows from the moment the frame was due, so that waiting "
    "for the work on the frame before, and for the process to wake up, counts; drawing is measured beside it"
)
ORDER = (
    "rows that run back to back take turns, a stretch of each in every round and every other round backwards, with "
    "{lead} calls at its start that do not count; then, apart from them, since they would keep clocks high, paced rows "
    "do the same, with {paced_lead:g} s of paced frames at the start of each stretch that do not count; {slices} "
    "rounds, at least {least} samples in a stretch, but a paced one ends after {most:g} s with what it has"
)
IN_TURNS = (
    "; rows of two models with the same setting, back to back, take turns call by call within a stretch"
)

Say = Callable[[str], None]
Opening = Callable[[str | Bundle, Artefact], Detector]
SensorReport = tuple[dict[str, Reading], dict[str, str], bool | None]


def measure(settings: Settings, command: str, say: Say = lambda _: None) -> Result:
    """Measure all rows. `command` is what gives such a result again; `say` is told what is going on.

    Raises CokeError, one sentence, if the model, a backend, a source or the data set cannot be used.
    """
    return measure_in_turns([settings], command, say)[0]


def measure_in_turns(
    settings: Sequence[Settings], command: str, say: Say = lambda _: None, opening: Opening = open_detector
) -> list[Result]:
    """Measure several models in turns, alike but for `Settings.model`: a result of each, for `compare`.

    `opening` makes the detectors.

    Raises CokeError as `measure` does.
    """
    frames, models = open_frames(settings[0].source), [open_model(each.model) for each in settings]
    say("looking at the machine")
    machine = Machine()
    facts = examine(machine)
    parts = [
        Part(model, each, machine, facts, say, opening) for model, each in zip(models, settings, strict=True)
    ]
    lanes = [
        Lane(setting, part.detectors[setting.artefact], frames) for part in parts for setting in part.settings
    ]
    measured = dict(run_all(lanes, settings[0], gpu_of(facts), say))
    shared: dict[str, Any] = {
        "command": command,
        "taken": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": describe(machine, facts),
        "versions": versions(),
        "protocol": protocol(settings[0], frames, in_turns=len(parts) > 1),
        "turns": secrets.token_hex(8) if len(parts) > 1 else None,
    }
    return [Result(rows=part.rows(lanes, measured), **shared) for part in parts]


def protocol(settings: Settings, frames: Frames, in_turns: bool) -> Protocol:
    """How it is measured, in words and numbers."""
    return Protocol(
        region=f"{REGION}. {first_result.WORDS[0].upper()}{first_result.WORDS[1:]}",
        source=f"{frames.description}; {REGIONS}",
        frame=frames.size,
        seconds=settings.seconds,
        steady_rule=settings.rule.words(),
        steady_thresholds=settings.rule.thresholds(),
        order=ORDER.format(
            lead=modes.LEAD_IN,
            paced_lead=modes.PACED_LEAD_IN,
            slices=settings.slices,
            least=settings.least,
            most=longest(settings),
        )
        + (IN_TURNS if in_turns else ""),
    )


def run_all(
    lanes: list[Lane], settings: Settings, gpu: str, say: Say
) -> list[tuple[Lane, tuple[WarmUp, SensorReport]]]:
    """Warm up every lane and measure it in turns with the others of its mode; with what the sensors said meanwhile.

    `gpu`: see `Sensors`.

    Every other round goes through the lanes backwards, so that a drift of the machine favours none.
    """
    found = []
    for mode in MODES:
        alike = [lane for lane in lanes if lane.setting.mode == mode]
        warm: dict[Lane, WarmUp] = {}
        for lane in alike:
            say(f"warming up {lane.setting.words()}")
            warm[lane] = warm_up(lambda lane=lane: lane.call().whole, settings.rule)  # type: ignore[misc]
        reports: dict[Lane, list[Stretch]] = {}
        groups = taking_turns(alike)
        for turn in range(settings.slices):
            for group in groups if turn % 2 == 0 else reversed(groups):
                say(f"round {turn + 1} of {settings.slices}: {group[0].setting.words()}")
                for lane, report in zip(group, stretch(group, settings, gpu), strict=True):
                    reports.setdefault(lane, []).append(report)
        found += [(lane, (warm[lane], merge(reports[lane]))) for lane in alike]
    return found


def taking_turns(lanes: list[Lane]) -> list[list[Lane]]:
    """The lanes that are measured together: those of several models with the same setting, back to back, take turns
    call by call; all others are alone.
    """
    groups: dict[Any, list[Lane]] = {}
    for lane in lanes:
        own = lane.setting if lane.setting.mode == "back to back" else lane
        groups.setdefault(own, []).append(lane)
    return list(groups.values())


def stretch(lanes: list[Lane], settings: Settings, gpu: str) -> list[Stretch]:
    """One stretch of lanes that are measured together, with what the sensors said of each.

    Of lanes that take turns nobody can tell whose power it was: it is absent, as energy is.
    """
    sensors = Sensors(gpu=gpu)
    sensors.start()
    before = sum(lane.calls for lane in lanes)
    samples = samples_of(lanes, settings)
    frames = sum(lane.calls for lane in lanes) - before  # those that do not count used energy, too
    readings, absent, throttled = sensors.stop(frames)
    if len(lanes) > 1:
        shared = [name for name in readings if name.endswith((" power", " energy"))]
        absent |= dict.fromkeys(shared, "two models took turns, call by call")
        readings = {name: reading for name, reading in readings.items() if name not in shared}
    for lane, own in zip(lanes, samples, strict=True):
        lane.tally.add(own)
        lane.tally.throttling += sensors.causes
        lane.draw(own[-1])
    return [(readings, absent, throttled, frames)] * len(lanes)


def samples_of(lanes: list[Lane], settings: Settings) -> list[list[Sample]]:
    """Those of one stretch."""
    seconds = settings.seconds / settings.slices
    if len(lanes) > 1:
        return modes.alternating(lanes, seconds, settings.least)
    if lanes[0].setting.mode == "paced":
        return [modes.paced(lanes[0], settings.fps, seconds, settings.least, longest(settings))]
    return [modes.back_to_back(lanes[0], seconds, settings.least)]


def longest(settings: Settings) -> float:
    """Seconds of a paced stretch after which it ends, however few its samples."""
    return max(settings.seconds, modes.PACED_MOST) / settings.slices


class Part:
    """One model of a run: its rows, its detectors, and what is found once for all rows of the same artefact."""

    def __init__(
        self, model: Model, settings: Settings, machine: Machine, facts: Facts, say: Say, opening: Opening
    ) -> None:
        """Load it; measure accuracies, and first results of fresh processes in turns."""
        self._model, self._options = model, settings
        self.settings = rows(settings, pairs(model, settings, machine, facts))
        say(f"loading {model.name}")
        artefacts = dict.fromkeys(setting.artefact for setting in self.settings)
        self.detectors = {a: opening(model.bundle or model.argument, a) for a in artefacts}
        self._accuracy: dict[Artefact, Accuracy | None] = {}
        for artefact, detector in self.detectors.items():
            if settings.data:
                say(f"accuracy of {artefact.backend} {artefact.precision}")
            alike = dataclasses.replace(artefact, threads=0)
            if alike not in self._accuracy:  # threads change no result
                self._accuracy[alike] = accuracy.measure(detector, settings)
        self._first: dict[Artefact, list[FirstResult]] = {artefact: [] for artefact in artefacts}
        for turn in range(settings.cold):
            for artefact, results in self._first.items():
                say(f"first result {turn + 1} of {settings.cold}: {artefact.backend} {artefact.precision}")
                results.append(first_result.first_result(model.argument, artefact))

    def rows(self, lanes: list[Lane], measured: dict[Lane, tuple[WarmUp, SensorReport]]) -> list[Row]:
        """The rows of those lanes that run this model, in the order of its settings."""
        own = list(self.detectors.values())
        return [self._row(lane, *measured[lane]) for lane in lanes if lane.detector in own]

    def _row(self, lane: Lane, warm: WarmUp, sensors: SensorReport) -> Row:
        artefact = lane.setting.artefact
        measured = Measured(
            warm=warm,
            sensors=sensors,
            first=self._first[artefact],
            accuracy=self._accuracy[dataclasses.replace(artefact, threads=0)],
        )
        return row_of(lane, self._model, self._options, measured)

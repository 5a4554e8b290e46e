"""The whole run: what is at hand, warm-ups, rows in turns, and the result of it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable

from coke_edge.benchmarks.bench import accuracy, first_result, modes
from coke_edge.benchmarks.bench.first_result import FirstResult
from coke_edge.benchmarks.bench.frames import REGIONS, Frames, open_frames
from coke_edge.benchmarks.bench.lane import Lane, Sample
from coke_edge.benchmarks.bench.model import Model, open_detector, open_model, pairs
from coke_edge.benchmarks.bench.result import Accuracy, Protocol, Reading, Result, Row
from coke_edge.benchmarks.bench.row import Measured, row_of
from coke_edge.benchmarks.bench.settings import MODES, Artefact, Setting, Settings, rows
from coke_edge.benchmarks.bench.steady import WarmUp, warm_up
from coke_edge.benchmarks.bench.surroundings import describe
from coke_edge.benchmarks.environment import versions
from coke_edge.benchmarks.sensors import Sensors, merge
from coke_edge.detector import Detector
from coke_edge.doctor.machine import Machine
from coke_edge.doctor.report import examine

REGION = (
    "from the moment the next frame is asked of its source (capture: a copy, or reading and decoding a file) to the "
    "keypoints of all objects in it as numpy arrays; in paced rows from the moment the frame was due, so that waiting "
    "for the work on the frame before, and for the process to wake up, counts; drawing is measured beside it"
)
ORDER = (
    "rows that run back to back take turns, a stretch of each in every round, with {lead} calls at its start that do "
    "not count; then, apart from them, since they would keep clocks high, paced rows do the same, with {paced_lead:g} "
    "s of paced frames at the start of each stretch that do not count; {slices} rounds, at least {least} samples in a "
    "stretch"
)

Say = Callable[[str], None]
SensorReport = tuple[dict[str, Reading], dict[str, str], bool | None]


def measure(settings: Settings, command: str, say: Say = lambda _: None) -> Result:
    """Measure all rows. `command` is what gives such a result again; `say` is told what is going on.

    Raises CokeError, one sentence, if the model, a backend, a source or the data set cannot be used.
    """
    model, frames = open_model(settings.model), open_frames(settings.source)
    say("looking at the machine")
    machine = Machine()
    facts = examine(machine)
    wanted = rows(settings, pairs(model, settings, machine, facts))
    say("loading")
    detectors = {
        artefact: open_detector(model.bundle or model.argument, artefact)
        for artefact in dict.fromkeys(setting.artefact for setting in wanted)
    }
    beside = Beside(model, settings, machine, detectors, say)
    lanes = [Lane(setting, detectors[setting.artefact], frames) for setting in wanted]
    done = {
        lane.setting: beside.complete(lane, *measured) for lane, measured in run_all(lanes, settings, say)
    }
    return Result(
        command=command,
        taken=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        machine=describe(machine, facts),
        versions=versions(),
        protocol=protocol(settings, frames),
        rows=[done[setting] for setting in wanted],
    )


def protocol(settings: Settings, frames: Frames) -> Protocol:
    """How it is measured, in words and numbers."""
    return Protocol(
        region=f"{REGION}. {first_result.WORDS[0].upper()}{first_result.WORDS[1:]}",
        source=f"{frames.description}; {REGIONS}",
        frame=frames.size,
        seconds=settings.seconds,
        steady_rule=settings.rule.words(),
        steady_thresholds=settings.rule.thresholds(),
        order=ORDER.format(
            lead=modes.LEAD_IN, paced_lead=modes.PACED_LEAD_IN, slices=settings.slices, least=settings.least
        ),
    )


def run_all(
    lanes: list[Lane], settings: Settings, say: Say
) -> list[tuple[Lane, tuple[WarmUp, SensorReport]]]:
    """Warm up every lane and measure it in turns with the others of its mode; with what the sensors said meanwhile."""
    found = []
    for mode in MODES:
        alike = [lane for lane in lanes if lane.setting.mode == mode]
        warm = {}
        for lane in alike:
            say(f"warming up {lane.setting.words()}")
            warm[lane.setting] = warm_up(lambda lane=lane: lane.call().whole, settings.rule)  # type: ignore[misc]
        reports: dict[Setting, list[tuple[dict[str, Reading], dict[str, str], bool | None, int]]] = {}
        for turn in range(settings.slices):
            for lane in alike:
                say(f"round {turn + 1} of {settings.slices}: {lane.setting.words()}")
                reports.setdefault(lane.setting, []).append(stretch(lane, settings))
        found += [(lane, (warm[lane.setting], merge(reports[lane.setting]))) for lane in alike]
    return found


def stretch(lane: Lane, settings: Settings) -> tuple[dict[str, Reading], dict[str, str], bool | None, int]:
    """One turn of a lane, with its sensors and the number of frames that they saw."""
    sensors = Sensors()
    sensors.start()
    before = lane.calls
    seconds = settings.seconds / settings.slices
    samples: list[Sample]
    if lane.setting.mode == "paced":
        samples = modes.paced(lane, settings.fps, seconds, settings.least)
    else:
        samples = modes.back_to_back(lane, seconds, settings.least)
    frames = lane.calls - before  # those that do not count used energy, too
    readings, absent, throttled = sensors.stop(frames)
    lane.tally.add(samples)
    lane.tally.throttling += sensors.causes
    lane.draw(samples[-1])
    return readings, absent, throttled, frames


class Beside:
    """What belongs to a row but is not measured in its turns; found once for all rows of the same artefact."""

    def __init__(
        self,
        model: Model,
        settings: Settings,
        machine: Machine,
        detectors: dict[Artefact, Detector],
        say: Say,
    ) -> None:
        """Measure it: accuracies, and first results of fresh processes in turns."""
        self._model, self._settings = model, settings
        self._accuracy: dict[Artefact, Accuracy | None] = {}
        for artefact, detector in detectors.items():
            if settings.data:
                say(f"accuracy of {artefact.backend} {artefact.precision}")
            alike = dataclasses.replace(artefact, threads=0)
            if alike not in self._accuracy:  # threads change no result
                self._accuracy[alike] = accuracy.measure(detector, settings)
        self._first: dict[Artefact, list[FirstResult]] = {artefact: [] for artefact in detectors}
        for turn in range(settings.cold):
            for artefact, results in self._first.items():
                say(f"first result {turn + 1} of {settings.cold}: {artefact.backend} {artefact.precision}")
                results.append(first_result.first_result(model.argument, artefact, machine))

    def complete(self, lane: Lane, warm: WarmUp, sensors: SensorReport) -> Row:
        """The row of a lane."""
        artefact = lane.setting.artefact
        measured = Measured(
            warm=warm,
            sensors=sensors,
            first=self._first[artefact],
            accuracy=self._accuracy[dataclasses.replace(artefact, threads=0)],
        )
        return row_of(lane, self._model, self._settings, measured)

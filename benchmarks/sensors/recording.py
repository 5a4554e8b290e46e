"""All sensors of a machine while something runs on it."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from coke_edge.benchmarks.bench.result import Reading
from coke_edge.benchmarks.sensors import cpu, jetson, load, nvml, rapl
from coke_edge.benchmarks.sensors.channel import PARTS, THROTTLED, UNITS, Sign, UnreadableError
from coke_edge.benchmarks.sensors.series import Series, of
from coke_edge.benchmarks.sensors.yardstick import ARITHMETIC, Yardstick
from coke_edge.doctor.machine import Machine

PERIOD = 0.1  # seconds between samples: several in each turn of a row, for less than 1 % of a core
J_PER_FRAME = "J per frame"


class Sensors:
    """Samples every sensor at the start, at the stop and every PERIOD seconds between, in a thread of its own.

    At the start and the stop nothing works: of clocks and powers, which are states, the samples next to them stand for
    them. Only a stretch shorter than PERIOD has no others.

    The yardstick is not among them, as it takes milliseconds: it is laid on before the start and after the stop.

    What cannot be read is absent with its reason, whether it was never there or vanished: nothing here raises for it.
    """

    def __init__(
        self,
        machine: Machine | None = None,
        gpu: str = "",
        clock: Callable[[], float] = time.perf_counter,
        find: Callable[[str], Any] = importlib.import_module,
    ) -> None:
        """Look for sensors. `gpu` is where the work's GPU is on the PCI bus (`nvml.probe`). `find` imports NVML."""
        machine = machine or Machine()
        self._clock = clock
        sources = [
            nvml.probe(machine, gpu, find),
            jetson.probe(machine),
            rapl.probe(machine),
            cpu.probe(machine),
            load.probe(machine),
        ]
        self._channels = [channel for source in sources for channel in source.channels]
        self._signs = [Watch(sign) for source in sources for sign in source.signs]
        self._reasons: dict[str, list[str]] = {}
        for source in sources:
            for name, reason in source.absent.items():
                self._reasons.setdefault(name, []).append(reason)
        self._series = [(channel, Series(channel.read)) for channel in self._channels]
        self._yardstick = Yardstick()
        self._pace: list[float] = []
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self.causes: list[str] = []  # of throttling, in words, after `stop`

    def start(self) -> None:
        """Take the first sample and go on in a thread. A second start begins anew."""
        self._series = [(channel, Series(channel.read)) for channel in self._channels]
        self._signs = [Watch(watch.sign) for watch in self._signs]
        self._end.clear()
        self._pace = [self._yardstick()]
        self._sample(at_an_end=True)
        self._thread = threading.Thread(target=self._run, name="sensors", daemon=True)
        self._thread.start()

    def stop(self, frames: int) -> tuple[dict[str, Reading], dict[str, str], bool | None]:
        """Readings by name, why others are absent, and whether clocks were held back (None if nothing tells).

        Energies are those since `start` divided by `frames`, which are all frames in that time, counted or not;
        their least and most are the mean. Names of parts without sensors are always in one of the two.
        """
        if self._thread is not None:
            self._end.set()
            self._thread.join()
            self._thread = None
            self._sample(at_an_end=True)
            for channel, series in self._series:
                if channel.kind in ("gauge", "power"):
                    series.hold_ends()
            self._pace.append(self._yardstick())
        readings, absent = self._told(frames)
        if self._pace:
            readings[ARITHMETIC] = of("ms", self._pace)
        self.causes = sorted({cause for watch in self._signs for cause in watch.causes()})
        throttled = bool(self.causes) if any(watch.answered for watch in self._signs) else None
        if throttled is None:
            absent[THROTTLED] = self._reason(THROTTLED, "its signs could not be read")
        return readings, absent, throttled

    def _run(self) -> None:
        while not self._end.wait(PERIOD):
            self._sample(at_an_end=False)

    def _sample(self, at_an_end: bool) -> None:
        moment = self._clock()
        for _, series in self._series:
            series.sample(moment)
        for watch in self._signs:
            if at_an_end or not watch.sign.counts:
                watch.sample()

    def _told(self, frames: int) -> tuple[dict[str, Reading], dict[str, str]]:
        """Every name once, from the first channel that can tell it."""
        readings: dict[str, Reading] = {}
        failed: dict[str, list[str]] = {}
        for name, tell in self._ways(frames):
            if name in readings:
                continue
            try:
                readings[name] = tell()
            except UnreadableError as error:
                failed.setdefault(name, []).append(str(error))
        wanted = [*UNITS, *(f"{part} {what}" for part in PARTS for what in ("power", "energy"))]
        absent = {}
        for name in dict.fromkeys([*wanted, *failed]):
            if name not in readings:
                absent[name] = "; ".join(failed.get(name, [])) or self._reason(name, "no sensor of it")
        return readings, absent

    def _ways(self, frames: int) -> list[tuple[str, Callable[[], Reading]]]:
        """Name and way to tell it, the better ones first: power by its sensor, energy by its counter."""
        ways: list[tuple[str, Callable[[], Reading]]] = []
        lesser: list[tuple[str, Callable[[], Reading]]] = []
        for channel, series in self._series:
            if channel.kind == "gauge":
                ways.append((channel.name, lambda s=series, c=channel: s.reading(c.unit)))  # type: ignore[misc]
                continue
            if channel.kind == "cores":
                ways.append((channel.name, lambda s=series, c=channel: s.rate(c.unit)))  # type: ignore[misc]
                continue
            power, energy = f"{channel.name} power", f"{channel.name} energy"
            if channel.kind == "power":
                ways.append((power, lambda s=series: s.reading("W")))  # type: ignore[misc]
                lesser.append((energy, lambda s=series: per_frame(s.integral(), frames)))  # type: ignore[misc]
            else:
                ways.append((energy, lambda s=series: per_frame(s.increase(), frames)))  # type: ignore[misc]
                lesser.append((power, series.power))
        return ways + lesser

    def _reason(self, name: str, otherwise: str) -> str:
        return "; ".join(dict.fromkeys(self._reasons.get(name, []))) or otherwise


class Watch:
    """What a sign of throttling said."""

    def __init__(self, sign: Sign) -> None:
        self.sign = sign
        self.answered = False
        self._first: Mapping[str, float] = {}
        self._most: dict[str, float] = {}

    def sample(self) -> None:
        """Ask once; one that does not answer is left out."""
        try:
            values = self.sign.read()
        except UnreadableError:
            return
        if not self.answered:
            self._first, self.answered = values, True
        for cause, value in values.items():
            self._most[cause] = max(value, self._most.get(cause, 0.0))

    def causes(self) -> list[str]:
        """What held clocks back: a state that was not 0, a counter that rose."""
        return [
            cause
            for cause, most in self._most.items()
            if most > (self._first.get(cause, 0.0) if self.sign.counts else 0.0)
        ]


def per_frame(joules: float, frames: int) -> Reading:
    """Raises UnreadableError if there was no frame."""
    if frames < 1:
        raise UnreadableError("no frame was finished")
    mean = joules / frames
    return Reading(unit=J_PER_FRAME, mean=mean, least=mean, most=mean, count=frames)

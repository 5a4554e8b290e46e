"""Energy of x86 processors: RAPL, through Linux's power capping framework."""

from __future__ import annotations

from pathlib import Path

from coke_edge.benchmarks.sensors import sysfs
from coke_edge.benchmarks.sensors.channel import Channel, Found, UnreadableError
from coke_edge.doctor.machine import Machine

ZONES = "/sys/class/powercap"


class Packages:
    """Joules of all packages (sockets) since the first reading, over any restart of their counters at 0."""

    def __init__(self, folders: list[Path]) -> None:
        """Raises UnreadableError unless all counters and their ranges can be read."""
        self._counters = [folder / "energy_uj" for folder in folders]
        self._ranges = [sysfs.number(folder / "max_energy_range_uj") for folder in folders]
        self._last = [sysfs.number(counter) for counter in self._counters]
        self._sum = 0.0

    def __call__(self) -> float:
        """Raises UnreadableError; then the next reading takes over what this one missed."""
        now = [sysfs.number(counter) for counter in self._counters]
        for value, last, whole in zip(now, self._last, self._ranges, strict=True):
            self._sum += value - last + (whole if value < last else 0.0)
        self._last = now
        return self._sum / 1e6


def probe(machine: Machine) -> Found:
    """The processor's energy; AMD's zones carry Intel's name too."""
    found = Found()
    packages = [
        machine.path(folder)
        for folder in machine.find(ZONES, "intel-rapl:[0-9]*")
        if (machine.read(f"{folder}/name") or "").startswith("package")
    ]
    if not packages:
        found.lacks_power("cpu", "no RAPL counters, as in virtual machines and on ARM")
        return found
    try:
        found.channels.append(Channel("cpu", "energy", Packages(packages)))
    except UnreadableError as error:
        found.lacks_power("cpu", f"RAPL: {error}")
    return found

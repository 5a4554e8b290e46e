"""The processor's clock, temperature and throttling, as Linux tells them on any machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from coke_edge.benchmarks.sensors import sysfs
from coke_edge.benchmarks.sensors.channel import THROTTLED, Channel, Found, Sign, UnreadableError
from coke_edge.doctor.machine import Machine

CPUS, POLICIES = "/sys/devices/system/cpu", "/sys/devices/system/cpu/cpufreq"
# Types of Linux's cooling devices that slow something down; fans and others only cool.
SLOWING = re.compile(r"Processor|(thermal-)?cpufreq-.*|.*-throttle-alert|hot-surface-alert")
CHIPS = (
    "k10temp",
    "coretemp",
)  # monitors in AMD's and Intel's processors; their first temperature is the package's


def probe(machine: Machine) -> Found:
    """What there is of it."""
    found = Found()
    clock(machine, found)
    temperature(machine, found)
    throttling(machine, found)
    return found


def governor(machine: Machine) -> str | None:
    """The governor of the CPU's clock, all of them where cores differ, None without cpufreq."""
    names = [machine.read(f"{folder}/scaling_governor") for folder in machine.find(POLICIES, "policy*")]
    return ", ".join(sorted({name for name in names if name})) or None


def clock(machine: Machine, found: Found) -> None:
    """MHz of the fastest core at each moment, since idle ones say nothing of the work.

    Without cpufreq there is only /proc/cpuinfo, whose figure a virtual machine makes up: it has a name of its own.
    """
    paths = [machine.path(f"{folder}/scaling_cur_freq") for folder in machine.find(POLICIES, "policy*")]
    if paths:
        found.channels.append(Channel("cpu clock", "gauge", lambda: fastest(paths), "MHz"))
        return
    found.absent["cpu clock"] = "this machine lets nobody see it (no cpufreq)"
    cpuinfo = machine.path("/proc/cpuinfo")
    try:
        nominal(cpuinfo)
    except UnreadableError:
        return
    found.absent["cpu clock"] += "; what /proc/cpuinfo says may be nominal and stands apart"
    found.channels.append(Channel("cpu clock in cpuinfo", "gauge", lambda: nominal(cpuinfo), "MHz"))


def fastest(paths: list[Path]) -> float:
    """MHz of files in kHz."""
    return max(sysfs.number(path) for path in paths) / 1e3


def nominal(path: Path) -> float:
    """The largest `cpu MHz` of /proc/cpuinfo. Raises UnreadableError where it has none, as on ARM."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        raise UnreadableError("/proc/cpuinfo cannot be read") from None
    values = re.findall(r"^cpu MHz\s*:\s*([\d.]+)$", text, re.MULTILINE)
    if not values:
        raise UnreadableError("/proc/cpuinfo has no clock")
    return max(map(float, values))


def temperature(machine: Machine, found: Found) -> None:
    """°C of the hottest thermal zone of the processor, else of the monitor inside it."""
    paths = sysfs.zones(machine, "cpu", "x86_pkg_temp") or [
        machine.path(f"{folder}/temp1_input") for chip in CHIPS for folder in sysfs.monitors(machine, chip)
    ]
    if paths:
        found.channels.append(Channel("cpu temperature", "gauge", lambda: sysfs.hottest(paths), "°C"))
    else:
        found.absent["cpu temperature"] = "no thermal zone of the processor, as in virtual machines"


def throttling(machine: Machine, found: Found) -> None:
    """Intel's counters of thermal throttling, and the cooling devices that slow the processor."""
    counters = {
        f"cpu {path.split('/cpu')[-1].split('/')[0]}: {path.rpartition('/')[2].partition('_')[0]} too hot": path
        for path in machine.find(CPUS, "cpu[0-9]*/thermal_throttle/*_throttle_count")
    }
    states = {
        kind: f"{folder}/cur_state"
        for folder in machine.find("/sys/class/thermal", "cooling_device*")
        if SLOWING.fullmatch(kind := machine.read(f"{folder}/type") or "")
    }
    for files, counts in ((counters, True), (states, False)):
        if files:
            found.signs.append(sign({cause: machine.path(path) for cause, path in files.items()}, counts))
    if not found.signs:
        found.absent[THROTTLED] = "Linux shows no throttling of this processor"


def sign(paths: Mapping[str, Path], counts: bool) -> Sign:
    """Of one file for each cause."""
    return Sign(lambda: {cause: sysfs.number(path) for cause, path in paths.items()}, counts)

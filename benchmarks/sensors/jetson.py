"""A Jetson's power rails, GPU clock and temperature, over-current events; the latter three also of like boards.

The rails are those of TI's INA3221 (Linux's hwmon driver): three channels with a label, a voltage (mV) and a current
(mA) each. JetPack 5 and 6 number the monitors in different ways, so they are found by name.
"""

from __future__ import annotations

from pathlib import Path

from coke_edge.benchmarks.sensors import sysfs
from coke_edge.benchmarks.sensors.channel import Channel, Found, Sign
from coke_edge.benchmarks.sensors.cpu import sign
from coke_edge.doctor import jetson
from coke_edge.doctor.machine import Machine

# What the whole module takes: Orin NX and Nano have a rail for it, AGX Orin three that have no part in common.
WHOLE = (("VDD_IN",), ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"))
UNUSED = "NC"
NO_RAIL = "no rail of it alone"


def probe(machine: Machine) -> Found:
    """What there is of it."""
    found = Found()
    rails = find_rails(machine)
    power(rails, found)
    clock(machine, found)
    temperature(machine, found)
    found.signs += over_current(machine)
    return found


def power_mode(machine: Machine) -> str | None:
    """nvpmodel's mode, None on other machines."""
    return jetson.power_mode(machine, jetson.power_modes(machine))


def find_rails(machine: Machine) -> dict[str, tuple[Path, Path]]:
    """Label → files of voltage and current."""
    rails = {}
    for folder in sysfs.monitors(machine, "ina3221"):
        for n in (1, 2, 3):
            label = machine.read(f"{folder}/in{n}_label")
            if label and label != UNUSED and machine.read(f"{folder}/in{n}_enable") != "0":
                rails[label] = (
                    machine.path(f"{folder}/in{n}_input"),
                    machine.path(f"{folder}/curr{n}_input"),
                )
    return rails


def watts(rails: list[tuple[Path, Path]]) -> float:
    """Of some rails together. Raises UnreadableError."""
    return sum(sysfs.number(volts) * sysfs.number(amperes) for volts, amperes in rails) / 1e6


def power(rails: dict[str, tuple[Path, Path]], found: Found) -> None:
    """Of every rail, of the whole module, and of the GPU where a rail is its own (Thor)."""
    for label, files in rails.items():
        part = "gpu" if label == "VDD_GPU" else f"rail {label}"
        found.channels.append(Channel(part, "power", lambda files=files: watts([files])))  # type: ignore[misc]
    whole = next((labels for labels in WHOLE if rails.keys() >= set(labels)), None)
    if whole:
        together = [rails[label] for label in whole]
        found.channels.append(Channel("board", "power", lambda: watts(together)))
    else:
        found.lacks_power("board", "no sensor of the whole board")
    if rails:
        found.lacks_power("cpu", f"{NO_RAIL}; there are {', '.join(rails)}")
        found.lacks_power("gpu", f"{NO_RAIL}; there are {', '.join(rails)}")


def clock(machine: Machine, found: Found) -> None:
    """MHz of the GPU, by the kernel's devfreq."""
    if folders := jetson.gpu_clocks(machine):
        path = machine.path(f"{folders[0]}/cur_freq")
        found.channels.append(Channel("gpu clock", "gauge", lambda: sysfs.number(path) / 1e6, "MHz"))


def temperature(machine: Machine, found: Found) -> None:
    """°C of the GPU's thermal zone."""
    if paths := sysfs.zones(machine, "gpu"):
        found.channels.append(Channel("gpu temperature", "gauge", lambda: sysfs.hottest(paths), "°C"))


def over_current(machine: Machine) -> list[Sign]:
    """Events that made the hardware slow down: under-voltage (1), average (2) and instantaneous (3) over-current."""
    return [
        sign(
            {f"over-current or under-voltage, event {path.rpartition('/oc')[2][0]}": machine.path(path)}, True
        )
        for folder in sysfs.monitors(machine, "soctherm_oc")
        for path in machine.find(folder, "oc[0-9]_event_cnt")
    ]

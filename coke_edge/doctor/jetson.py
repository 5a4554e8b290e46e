"""A Jetson: model, JetPack, power mode, clocks; all read from files, but for `nvpmodel -q`."""

from __future__ import annotations

import dataclasses
import re

from coke_edge.doctor.finding import Finding
from coke_edge.doctor.machine import Machine

# The device tree's name of the chip → compute capability of its GPU.
CHIPS = {"nvidia,tegra234": 87, "nvidia,tegra264": 110}  # Orin, Thor

# Jetson Linux → JetPack, the newest first that is not newer (developer.nvidia.com/embedded/jetpack-archive).
JETPACKS = {
    (39, 2): "7.2",
    (38, 4): "7.1",
    (38, 2): "7.0",
    (36, 4, 4): "6.2.1",
    (36, 4, 3): "6.2",
    (36, 4): "6.1",
    (36, 3): "6.0",
    (35,): "5",
    (32,): "4",
}
OLDEST = (36, 4)  # Jetson Linux with TensorRT 10.3


@dataclasses.dataclass(frozen=True)
class Jetson:
    """A Jetson module and the software that came with it."""

    model: str
    linux: str | None  # Jetson Linux (L4T), such as 36.4.3
    jetpack: str | None
    capability: int | None  # of the GPU, by the chip
    power_mode: str | None
    power_modes: tuple[str, ...]
    clocks_locked: bool | None  # by jetson_clocks; None where sysfs does not say
    findings: tuple[Finding, ...]


def probe(machine: Machine) -> Jetson | None:
    """What Jetson this is, None if it is something else."""
    release = machine.read("/etc/nv_tegra_release")
    chips = (machine.read("/proc/device-tree/compatible") or "").splitlines()
    if release is None and not any(chip.startswith("nvidia,tegra") for chip in chips):
        return None
    linux = parse_release(release or "")
    modes = power_modes(machine)
    mode = power_mode(machine, modes)
    locked = clocks_locked(machine)
    return Jetson(
        model=machine.read("/proc/device-tree/model") or "Jetson",
        linux=".".join(map(str, linux)) or None,
        jetpack=jetpack(machine, linux),
        capability=next((CHIPS[chip] for chip in chips if chip in CHIPS), None),
        power_mode=mode,
        power_modes=tuple(modes.values()),
        clocks_locked=locked,
        findings=tuple(findings(linux, mode, modes, locked)),
    )


def parse_release(text: str) -> tuple[int, ...]:
    """(36, 4, 3) of `# R36 (release), REVISION: 4.3, GCID: …`, the first line of /etc/nv_tegra_release.

    Jetson Linux Developer Guide, "To determine the release"; () where the text is something else.
    """
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text)
    return (int(found[1]), *map(int, found[2].split("."))) if found else ()


def jetpack(machine: Machine, linux: tuple[int, ...]) -> str | None:
    """The version of the package nvidia-jetpack if it is installed, else what Jetson Linux belongs to."""
    status = machine.read("/var/lib/dpkg/status") or ""
    stanza = re.search(r"^Package: nvidia-jetpack\n(?:.+\n)*?Version: (\S+)", status, re.MULTILINE)
    if stanza:
        return stanza[1].split("+")[0]
    return next((name for version, name in JETPACKS.items() if version <= linux), None)


def power_modes(machine: Machine) -> dict[int, str]:
    """Number → name of the modes in /etc/nvpmodel.conf: `< POWER_MODEL ID=0 NAME=15W >`."""
    text = machine.read("/etc/nvpmodel.conf") or ""
    return {
        int(n): name for n, name in re.findall(r"^< ?POWER_MODEL ID=(\d+) NAME=(\S+)", text, re.MULTILINE)
    }


def power_mode(machine: Machine, modes: dict[int, str]) -> str | None:
    """The mode of now: `nvpmodel -q` prints `NV Power Mode: 15W`; where only root may ask, the file that it keeps."""
    if found := re.search(r"NV Power Mode:\s*(\S+)", machine.run(["nvpmodel", "-q"]).stdout):
        return found[1]
    kept = re.search(r"pmode:(\d+)", machine.read("/var/lib/nvpmodel/status") or "")
    return modes.get(int(kept[1])) if kept else None


def clocks_locked(machine: Machine) -> bool | None:
    """Whether jetson_clocks holds CPU and GPU at their highest: then the lowest frequency allowed is the highest."""
    pairs = [
        (f"{folder}/scaling_min_freq", f"{folder}/scaling_max_freq")
        for folder in machine.find("/sys/devices/system/cpu", "cpu[0-9]*/cpufreq")
    ]
    pairs += [(f"{folder}/min_freq", f"{folder}/max_freq") for folder in gpu_clocks(machine)]
    limits = [(machine.read(low), machine.read(high)) for low, high in pairs]
    return all(low == high for low, high in limits) if limits else None


def gpu_clocks(machine: Machine) -> list[str]:
    """The folders of the GPU's clocks: 17000000.ga10b in JetPack 5, 17000000.gpu in 6, gpu-gpc-0 first on Thor."""
    return [
        folder for pattern in ("*gpu*", "*.ga10b") for folder in machine.find("/sys/class/devfreq", pattern)
    ]


def findings(
    linux: tuple[int, ...], mode: str | None, modes: dict[int, str], locked: bool | None
) -> list[Finding]:
    """What holds the Jetson back."""
    found = []
    if linux and linux < OLDEST:
        found.append(
            Finding("JetPack older than 6.1 has no TensorRT that coke-edge supports: flash a newer one")
        )
    fastest = {name: number for number, name in modes.items() if name.startswith("MAXN")}
    if mode and fastest and mode not in fastest:
        # On a module with two of them, MAXN_SUPER is the faster one and has the longer name.
        best = max(fastest, key=len)
        found.append(
            Finding(f"the power mode {mode} is slower than {best}", f"sudo nvpmodel -m {fastest[best]}")
        )
    if locked is False:
        found.append(Finding("the clocks follow the load; lock them before measuring", "sudo jetson_clocks"))
    return found

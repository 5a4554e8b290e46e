"""Machines that are not there: the files of their sensors, and an NVML that answers from a table.

None was recorded on a device. Files have the form that Linux documents: hwmon and INA3221, thermal zones and cooling
devices, devfreq, cpufreq, the power capping framework, proc_stat(5). Rails are those of the modules' device trees.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coke_edge.doctor.machine import MISSING, Machine, Output

HWMON, THERMAL, CPU = "/sys/class/hwmon", "/sys/class/thermal", "/sys/devices/system/cpu"
Files = dict[str, str]

LAPTOP: Files = {
    f"{CPU}/cpufreq/policy0/scaling_cur_freq": "1200000\n",
    f"{CPU}/cpufreq/policy1/scaling_cur_freq": "3100000\n",
    f"{CPU}/cpufreq/policy0/scaling_governor": "powersave\n",
    f"{CPU}/cpufreq/policy1/scaling_governor": "powersave\n",
    f"{CPU}/cpu0/thermal_throttle/package_throttle_count": "7\n",
    f"{THERMAL}/thermal_zone0/type": "acpitz\n",
    f"{THERMAL}/thermal_zone0/temp": "30000\n",
    f"{THERMAL}/thermal_zone1/type": "x86_pkg_temp\n",
    f"{THERMAL}/thermal_zone1/temp": "61000\n",
    "/sys/class/powercap/intel-rapl:0/name": "package-0\n",
    "/sys/class/powercap/intel-rapl:0/energy_uj": "1000000\n",
    "/sys/class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850\n",
    "/sys/class/powercap/intel-rapl:0:0/name": "core\n",
    "/sys/class/powercap/intel-rapl:0:0/energy_uj": "5\n",
    "/proc/stat": "cpu  100 0 50 1000 0 0 0 0 0 0\n",
}


def rails(folder: str, *channels: tuple[str, int, int]) -> Files:
    """An INA3221: label, millivolts and milliamperes of its channels."""
    files = {f"{folder}/name": "ina3221\n"}
    for n, (label, volts, amperes) in enumerate(channels, start=1):
        files |= {
            f"{folder}/in{n}_label": f"{label}\n",
            f"{folder}/in{n}_input": f"{volts}\n",
            f"{folder}/curr{n}_input": f"{amperes}\n",
        }
    return files | {f"{folder}/in7_label": "sum of shunt voltages\n", f"{folder}/in7_input": "12\n"}


NANO: Files = {
    **rails(f"{HWMON}/hwmon1", ("VDD_IN", 5000, 1400), ("VDD_CPU_GPU_CV", 5000, 300), ("VDD_SOC", 5000, 280)),
    f"{HWMON}/hwmon3/name": "soctherm_oc\n",
    f"{HWMON}/hwmon3/oc1_event_cnt": "0\n",
    f"{HWMON}/hwmon3/oc3_event_cnt": "37\n",
    "/sys/class/devfreq/17000000.gpu/cur_freq": "612000000\n",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal\n",
    f"{THERMAL}/thermal_zone0/temp": "50125\n",
    f"{THERMAL}/thermal_zone1/type": "gpu-thermal\n",
    f"{THERMAL}/thermal_zone1/temp": "48500\n",
    f"{THERMAL}/thermal_zone2/type": "cv0-thermal\n",
    f"{THERMAL}/thermal_zone2/temp": "-256000\n",
    f"{THERMAL}/cooling_device0/type": "pwm-fan\n",
    f"{THERMAL}/cooling_device0/cur_state": "3\n",
    f"{THERMAL}/cooling_device1/type": "gpu-throttle-alert\n",
    f"{THERMAL}/cooling_device1/cur_state": "0\n",
    f"{CPU}/cpufreq/policy0/scaling_cur_freq": "1510400\n",
    "/etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=7W >\n",
    "/var/lib/nvpmodel/status": "pmode:0001\n",
}
# JetPack 5 numbers the monitors in another way, and calls the GPU's clock by the chip.
AGX: Files = {
    **rails(
        f"{HWMON}/hwmon3",
        ("VDD_GPU_SOC", 20000, 400),
        ("VDD_CPU_CV", 20000, 200),
        ("VIN_SYS_5V0", 5000, 900),
    ),
    **rails(f"{HWMON}/hwmon4", ("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 5000, 100), ("NC", 0, 0)),
    "/sys/class/devfreq/17000000.ga10b/cur_freq": "1300500000\n",
}


def write(root: Path, files: Files) -> None:
    """Files below `root`."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def machine_of(tmp_path: Path) -> Callable[[Files], Machine]:
    """A machine with these files and no tools."""

    def make(files: Files) -> Machine:
        write(tmp_path, files)
        return Machine(root=tmp_path, run=lambda *_, **__: Output(MISSING))

    return make


class FakeError(Exception):
    """NVMLError."""


def fake_nvml(**answers: Any) -> Any:
    """The module `pynvml`; a function without an answer is not supported, one of None is not in it."""

    def refuse(*_: Any) -> Any:
        raise FakeError("Not Supported")

    def function(name: str) -> Callable[..., Any]:
        if name not in answers:
            return refuse
        answer = answers[name]
        return lambda *arguments: answer(*arguments[1:]) if callable(answer) else answer

    names = (
        "nvmlDeviceGetClockInfo",
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
    )
    known = {name: function(name) for name in names if answers.get(name, 0) is not None}
    return SimpleNamespace(
        NVMLError=FakeError,
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetHandleByPciBusId=refuse,
        nvmlDeviceGetCount=lambda: 1,
        **known,
    )


GPU: Files = {"/dev/nvidia0": ""}

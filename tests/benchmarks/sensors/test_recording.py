"""All sensors of a machine that is not there."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coke_edge.benchmarks.sensors import Sensors, governor, merge, power_mode, recording
from coke_edge.benchmarks.sensors.yardstick import ARITHMETIC, Yardstick
from coke_edge.doctor.machine import Machine

from .conftest import AGX, CPU, GPU, HWMON, LAPTOP, NANO, THERMAL, Files, fake_nvml, write

Make = Callable[[Files], Machine]
NAMES = {
    "cpu clock",
    "cpu temperature",
    "gpu clock",
    "gpu memory clock",
    "gpu temperature",
    *(f"{part} {what}" for part in ("cpu", "gpu", "board") for what in ("power", "energy")),
}


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the samples at both ends, unless a test wants more."""
    monkeypatch.setattr(recording, "PERIOD", 1e6)


def no_nvml(_: str) -> Any:
    raise ImportError("No module named 'pynvml'")


def run(
    machine: Machine,
    between: Callable[[], None] = lambda: None,
    seconds: float = 2.0,
    frames: int = 10,
    find: Callable[[str], Any] = no_nvml,
) -> tuple[Sensors, dict[str, Any], dict[str, str], bool | None]:
    """A stretch with something between its ends."""
    clock = Clock()
    sensors = Sensors(machine, clock=clock, find=find)
    sensors.start()
    clock.now += seconds
    between()
    return (sensors, *sensors.stop(frames))


def test_a_laptop(machine_of: Make, tmp_path: Path) -> None:
    machine = machine_of(LAPTOP)
    rise = {"/sys/class/powercap/intel-rapl:0/energy_uj": "31000000\n"}
    _, readings, absent, throttled = run(machine, lambda: write(tmp_path, rise))
    assert readings["cpu clock"].mean == 3100  # of the fastest core
    assert readings["cpu temperature"].mean == 61
    assert readings["cpu energy"].mean == pytest.approx(3.0)  # 30 J over 10 frames
    assert readings["cpu energy"].unit == "J per frame"
    assert readings["cpu power"].mean == pytest.approx(15.0)
    assert throttled is False
    assert absent["gpu power"] == "no NVIDIA GPU"
    assert governor(machine) == "powersave"


def test_a_counter_that_starts_again(machine_of: Make, tmp_path: Path) -> None:
    files = LAPTOP | {
        "/sys/class/powercap/intel-rapl:0/energy_uj": "9000000\n",
        "/sys/class/powercap/intel-rapl:0/max_energy_range_uj": "10000000\n",
    }
    after = {"/sys/class/powercap/intel-rapl:0/energy_uj": "1000000\n"}
    _, readings, _, _ = run(machine_of(files), lambda: write(tmp_path, after))
    assert readings["cpu energy"].mean == pytest.approx(0.2)  # 2 J over 10 frames


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_counters_of_root_alone(machine_of: Make, tmp_path: Path) -> None:
    machine = machine_of(LAPTOP)
    (tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").chmod(0)
    assert "not readable without root" in run(machine)[2]["cpu energy"]


def test_counters_that_may_not_be_read(machine_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, read = machine_of(LAPTOP), Path.read_text

    def refuse(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == "energy_uj":
            raise PermissionError
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    _, readings, absent, _ = run(machine)
    assert "cpu energy" not in readings
    assert absent["cpu energy"] == "RAPL: energy_uj is not readable without root"


def test_an_orin_nano(machine_of: Make) -> None:
    machine = machine_of(NANO)
    _, readings, absent, throttled = run(machine)
    assert readings["board power"].mean == pytest.approx(7.0)
    assert readings["board energy"].mean == pytest.approx(1.4)  # 14 J over 10 frames
    assert readings["rail VDD_CPU_GPU_CV power"].mean == pytest.approx(1.5)
    assert "VDD_CPU_GPU_CV" in absent["gpu power"]
    assert readings["gpu clock"].mean == 612
    assert readings["gpu temperature"].mean == 48.5
    assert readings["cpu temperature"].mean == 50.125
    assert throttled is False  # a fan that turns slows nothing
    assert power_mode(machine) == "7W"


def test_an_agx_orin_with_jetpack_5(machine_of: Make) -> None:
    _, readings, _, _ = run(machine_of(AGX))
    assert readings["board power"].mean == pytest.approx(8 + 4 + 4.5)
    assert readings["gpu clock"].mean == 1300.5
    assert not any("NC" in name or "shunt" in name for name in readings)


@pytest.mark.parametrize(
    ("files", "change", "cause"),
    [
        (NANO, {f"{HWMON}/hwmon3/oc3_event_cnt": "38\n"}, "over-current or under-voltage, event 3"),
        (NANO, {f"{THERMAL}/cooling_device1/cur_state": "1\n"}, "gpu-throttle-alert"),
        (LAPTOP, {f"{CPU}/cpu0/thermal_throttle/package_throttle_count": "8\n"}, "cpu 0: package too hot"),
    ],
)
def test_what_holds_clocks_back(
    machine_of: Make, tmp_path: Path, files: Files, change: Files, cause: str
) -> None:
    sensors, _, _, throttled = run(machine_of(files), lambda: write(tmp_path, change))
    assert throttled is True
    assert sensors.causes == [cause]


def test_a_gpu_by_nvml(machine_of: Make) -> None:
    energy = iter([0, 1_000_000, 1_060_000])  # mJ; the first is the question whether it answers
    nvml = fake_nvml(
        nvmlDeviceGetClockInfo=lambda kind: {1: 1410, 2: 1215}[kind],
        nvmlDeviceGetTemperature=55,
        nvmlDeviceGetPowerUsage=29_000,
        nvmlDeviceGetTotalEnergyConsumption=lambda: next(energy),
        nvmlDeviceGetCurrentClocksEventReasons=0x1 | 0x4 | 0x100,
    )
    sensors, readings, absent, throttled = run(machine_of(GPU), find=lambda _: nvml)
    assert (readings["gpu clock"].mean, readings["gpu memory clock"].mean) == (1410, 1215)
    assert readings["gpu temperature"].mean == 55
    assert readings["gpu power"].mean == 29
    assert readings["gpu energy"].mean == pytest.approx(6.0)  # the counter's 60 J, not the integral's 58
    assert throttled is True
    assert sensors.causes == ["the GPU's power limit"]  # neither idle clocks nor a display's
    assert not {name for name in absent if name.startswith("gpu")}


def test_an_older_gpu_and_driver(machine_of: Make) -> None:
    nvml = fake_nvml(
        nvmlDeviceGetPowerUsage=20_000,
        nvmlDeviceGetCurrentClocksEventReasons=None,  # not in an older package
        nvmlDeviceGetCurrentClocksThrottleReasons=0x1,
    )
    _, readings, absent, throttled = run(machine_of(GPU), find=lambda _: nvml)
    assert readings["gpu energy"].mean == pytest.approx(4.0)  # 20 W for 2 s, over 10 frames
    assert throttled is False
    assert absent["gpu clock"] == "NVML: Not Supported"


def test_a_gpu_without_the_package(machine_of: Make) -> None:
    assert "pip install" in run(machine_of(GPU))[2]["gpu clock"]


def test_nothing_is_readable(machine_of: Make) -> None:
    _, readings, absent, throttled = run(machine_of({}))
    assert set(readings) == {ARITHMETIC}
    assert set(absent) >= NAMES | {"throttled"}
    assert all(absent.values())
    assert throttled is None


@pytest.mark.parametrize("files", [LAPTOP, NANO, AGX])
def test_every_name_is_read_or_absent_never_both(machine_of: Make, files: Files) -> None:
    _, readings, absent, _ = run(machine_of(files))
    assert readings.keys() | absent.keys() >= NAMES
    assert not readings.keys() & absent.keys()


@pytest.mark.parametrize("garbage", ["", "n/a\n", "nan\n", "\0\0", None])
@pytest.mark.parametrize("files", [LAPTOP, NANO])
def test_all_sensors_break_in_the_middle(
    machine_of: Make, tmp_path: Path, files: Files, garbage: str | None
) -> None:
    def break_all() -> None:
        for name in files:
            path = tmp_path / name.lstrip("/")
            if garbage is None:
                path.unlink()
            else:
                path.write_text(garbage)

    _, readings, absent, _ = run(machine_of(files), break_all)
    assert readings["cpu clock"].count == 1  # what was read before stands
    energy = "cpu energy" if files is LAPTOP else "board energy"
    assert energy not in readings  # but half a stretch's energy is nobody's
    assert "did not answer all the time" in absent[energy]


def test_a_gpu_falls_off_the_bus(machine_of: Make) -> None:
    nvml = fake_nvml(nvmlDeviceGetPowerUsage=20_000)

    def lose() -> None:
        def fail(*_: Any) -> Any:
            raise nvml.NVMLError("GPU is lost")

        nvml.nvmlDeviceGetPowerUsage = fail

    _, _, absent, _ = run(machine_of(GPU), lose, find=lambda _: nvml)
    assert absent["gpu energy"] == "did not answer all the time: NVML: GPU is lost"


def test_a_stop_without_frames_and_one_without_a_start(machine_of: Make) -> None:
    machine = machine_of(NANO)
    assert run(machine, frames=0)[2]["board energy"] == "no frame was finished"
    readings, absent, _ = Sensors(machine, find=no_nvml).stop(3)
    assert (readings, absent["cpu clock"]) == ({}, "was not asked")


def test_the_thread_samples_and_ends(machine_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PERIOD", 0.005)
    sensors = Sensors(machine_of(NANO), find=no_nvml)
    sensors.start()
    deadline = time.monotonic() + 5
    while len(sensors._series[0][1].values) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    readings, _, _ = sensors.stop(1)
    assert readings["board power"].count >= 4
    assert "sensors" not in {thread.name for thread in threading.enumerate()}


def test_stretches_become_one(machine_of: Make) -> None:
    machine = machine_of(NANO)
    first, second = run(machine, frames=10)[1:], run(machine, seconds=4.0, frames=10)[1:]
    readings, absent, throttled = merge([(*first, 10), (*second, 10)])
    assert readings["board energy"].mean == pytest.approx((1.4 + 2.8) / 2)
    assert readings["board power"].count == 4
    assert throttled is False
    assert "gpu power" in absent


def test_a_stretch_without_its_energy_leaves_none(machine_of: Make) -> None:
    whole, broken = run(machine_of(NANO))[1:], run(machine_of(NANO), frames=0)[1:]
    readings, absent, _ = merge([(*whole, 10), (*broken, 0)])
    assert "board energy" not in readings
    assert absent["board energy"] == "no frame was finished"
    assert readings["board power"].mean == pytest.approx(7.0)


def test_cores_that_others_take(machine_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "times", lambda: os.times_result((1.0, 0.5, 0.0, 0.0, 0.0)))
    busy = {"/proc/stat": "cpu  200 0 150 1000 0 0 0 40 0 0\n"}  # 2 s of work and 0.4 s of the host's in 2 s
    _, readings, _, _ = run(machine_of(LAPTOP), lambda: write(tmp_path, busy))
    tick = 100 / os.sysconf("SC_CLK_TCK")
    assert readings["cores taken by others"].mean == pytest.approx(1.0 * tick)
    assert readings["cores taken by the host"].mean == pytest.approx(0.2 * tick)


def test_the_yardstick_is_a_median() -> None:
    ends = iter(value for n in range(25) for value in (n, n + (0.5 if n else 9.0)))  # one slow piece of 25
    assert Yardstick(lambda: next(ends))() == pytest.approx(500.0)

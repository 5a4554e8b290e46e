"""The sensors are those of the GPU that CUDA works on, however CUDA_VISIBLE_DEVICES names it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest

from coke_edge.benchmarks.sensors import Sensors
from coke_edge.benchmarks.which_gpu import pci_bus, smi_option
from coke_edge.doctor.libcuda import describe
from coke_edge.doctor.machine import Machine

from .conftest import GPU, FakeError, Files, fake_nvml

Make = Callable[[Files], Machine]
# In the order of the PCI bus: place, UUID, °C.
GPUS = (
    ("0000:17:00.0", "GPU-aaaa1111-0000", 31),
    ("0000:65:00.0", "GPU-bbbb2222-0000", 47),
    ("0000:ca:00.0", "GPU-cccc3333-0000", 59),
)


class Cuda:
    """libcuda.so.1 with three GPUs. As NVIDIA documents it, the list ends before the first name that no GPU has."""

    def __init__(self, visible: str | None) -> None:
        names = [str(n) for n in range(len(GPUS))] if visible is None else visible.split(",")
        self.found: list[int] = []
        for name in names:
            fits = [
                n
                for n, gpu in enumerate(GPUS)
                if name == str(n) or (name[:4] == "GPU-" and gpu[1].startswith(name))
            ]
            if len(fits) != 1:
                break
            self.found += fits

    def cuInit(self, flags: int) -> int:  # noqa: N802 - CUDA's names
        return 0 if self.found else 100

    def cuDeviceGetCount(self, count: Any) -> None:  # noqa: N802
        count._obj.value = len(self.found)

    def cuDeviceGet(self, handle: Any, number: int) -> None:  # noqa: N802
        handle._obj.value = number

    def cuDeviceGetPCIBusId(self, bus: Any, size: int, handle: ctypes.c_int) -> None:  # noqa: N802
        bus.value = GPUS[self.found[handle.value]][0].encode()

    def __getattr__(self, name: str) -> Callable[..., int]:
        """What is of no interest here."""
        return lambda *_: 0


def nvml_of(gpus: tuple[tuple[str, str, int], ...]) -> Any:
    """NVML, which knows nothing of what CUDA may see."""
    nvml = fake_nvml()

    def by_place(place: str) -> int:
        places = [gpu[0] for gpu in gpus]
        if place not in places:
            raise FakeError("Not Found")
        return places.index(place)

    nvml.nvmlDeviceGetCount = lambda: len(gpus)
    nvml.nvmlDeviceGetHandleByPciBusId = by_place
    nvml.nvmlDeviceGetTemperature = lambda handle, kind: gpus[handle][2]
    return nvml


def told(
    machine: Machine, visible: str | None, gpus: tuple[tuple[str, str, int], ...] = GPUS
) -> tuple[Any, str]:
    """°C of the GPU, if told, and why not."""
    place = pci_bus(lambda: describe(lambda _: Cuda(visible)))
    sensors = Sensors(machine, gpu=place, find=lambda _: nvml_of(gpus))
    sensors.start()
    readings, absent, _ = sensors.stop(1)
    reading = readings.get("gpu temperature")
    return reading.mean if reading else None, absent.get("gpu temperature", "")


@pytest.mark.parametrize(
    ("visible", "celsius"),
    [
        (None, 31),
        ("0", 31),
        ("1", 47),
        ("2,0", 59),
        ("GPU-bbbb2222-0000", 47),
        ("GPU-cc,GPU-aa", 59),
        ("1,7", 47),
    ],
)
def test_numbers_and_uuids(machine_of: Make, visible: str | None, celsius: int) -> None:
    assert told(machine_of(GPU), visible) == (celsius, "")


@pytest.mark.parametrize("visible", ["", "-1", "7", "GPU-dd"])
def test_of_several_gpus_that_cuda_may_not_see_none_is_guessed(machine_of: Make, visible: str) -> None:
    celsius, reason = told(machine_of(GPU), visible)
    assert celsius is None
    assert reason == "NVML knows 3 GPUs, and CUDA does not say on which it works"


def test_a_gpu_on_no_bus_is_the_only_one(machine_of: Make) -> None:
    on_no_bus = (("", "GPU-dddd4444-0000", 63),)
    assert told(machine_of(GPU), None, on_no_bus) == (63, "")
    elsewhere = (("0000:01:00.0", "x", 20), ("0000:02:00.0", "y", 21))
    assert (
        told(machine_of(GPU), None, elsewhere)[1]
        == "NVML knows 2 GPUs, and CUDA works on one at 0000:17:00.0"
    )


def test_nvidia_smi_is_asked_for_that_gpu_alone() -> None:
    assert smi_option(pci_bus(lambda: describe(lambda _: Cuda("GPU-bb")))) == ["--id=0000:65:00.0"]
    assert smi_option(pci_bus(lambda: describe(lambda _: Cuda("")))) == []

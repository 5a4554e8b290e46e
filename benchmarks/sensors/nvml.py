"""NVIDIA GPUs through NVML: the package nvidia-ml-py (`pynvml`), of the extra "bench", loaded when it is asked for.

Many GPUs tell the power of the last second rather than of the moment. Energy comes from the GPU's own counter where it
has one (Volta and later), so that it does not depend on that.
"""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Callable
from typing import Any

from coke_edge.benchmarks.sensors.channel import THROTTLED, Channel, Found, Kind, Sign, UnreadableError
from coke_edge.doctor.gpu import hardware, nodes
from coke_edge.doctor.machine import Machine

# Bits of NvmlClocksEventReasons (NVML API reference) that mean slower than asked for; idle clocks and settings do not.
SLOWING = {
    0x04: "the GPU's power limit",
    0x08: "the GPU's hardware slowdown",
    0x20: "the GPU's temperature, by its driver",
    0x40: "the GPU's temperature, by its hardware",
    0x80: "the GPU's external power brake",
}
# What answers with these bits: the name since driver 535, and the one before.
REASONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
# Name, kind, unit, NVML's function, the constant that it takes, and what one of its steps is worth.
QUESTIONS: tuple[tuple[str, Kind, str, str, str | None, float], ...] = (
    ("gpu clock", "gauge", "MHz", "nvmlDeviceGetClockInfo", "NVML_CLOCK_SM", 1.0),
    ("gpu memory clock", "gauge", "MHz", "nvmlDeviceGetClockInfo", "NVML_CLOCK_MEM", 1.0),
    ("gpu temperature", "gauge", "°C", "nvmlDeviceGetTemperature", "NVML_TEMPERATURE_GPU", 1.0),
    ("gpu", "power", "W", "nvmlDeviceGetPowerUsage", None, 1e-3),
    ("gpu", "energy", "J", "nvmlDeviceGetTotalEnergyConsumption", None, 1e-3),
)


def probe(machine: Machine, gpu: str, load: Callable[[str], Any] = importlib.import_module) -> Found:
    """Of the GPU at this place on the PCI bus; of the only one there is, if it is empty or no place that NVML knows."""
    found = Found()
    if not hardware(machine) and not nodes(machine):
        return nothing(found, "no NVIDIA GPU")
    try:
        nvml = load("pynvml")
    except ImportError:
        return nothing(found, 'NVML needs a package: `pip install "coke-edge[bench]"`')
    try:
        nvml.nvmlInit()  # counted by NVML; it ends with the process
        device = chosen(nvml, gpu)
    except nvml.NVMLError as error:
        return nothing(found, f"NVML: {error}")
    except UnreadableError as error:
        return nothing(found, str(error))
    for name, kind, unit, function, constant, step in QUESTIONS:
        arguments = [device] if constant is None else [device, getattr(nvml, constant)]
        read = question(nvml, function, arguments, step)
        try:
            read()
        except UnreadableError as error:
            if kind == "gauge":
                found.absent[name] = str(error)
            else:
                found.absent[f"{name} {kind}"] = str(error)
            continue
        found.channels.append(Channel(name, kind, read, unit))
    throttling(nvml, device, found)
    return found


def chosen(nvml: Any, gpu: str) -> Any:
    """NVML's handle of the GPU that the work runs on. Raises UnreadableError if nothing says which of several."""
    if gpu:
        with contextlib.suppress(nvml.NVMLError):  # a Jetson's GPU is on no bus
            return nvml.nvmlDeviceGetHandleByPciBusId(gpu)
    count = nvml.nvmlDeviceGetCount()
    if count != 1:
        place = f"CUDA works on one at {gpu}" if gpu else "CUDA does not say on which it works"
        raise UnreadableError(f"NVML knows {count} GPUs, and {place}")
    return nvml.nvmlDeviceGetHandleByIndex(0)


def nothing(found: Found, reason: str) -> Found:
    """All that NVML could have told, with one reason."""
    for name, kind, *_ in QUESTIONS:
        found.absent[name if kind == "gauge" else f"{name} {kind}"] = reason
    found.absent[THROTTLED] = reason
    return found


def question(nvml: Any, function: str, arguments: list[Any], step: float = 1.0) -> Callable[[], float]:
    """How to ask NVML; what it refuses is UnreadableError."""

    def read() -> float:
        try:
            value = float(getattr(nvml, function)(*arguments)) * step
        except nvml.NVMLError as error:
            raise UnreadableError(f"NVML: {error}") from None
        except (AttributeError, TypeError, ValueError):
            raise UnreadableError(f"NVML has no {function}") from None
        if not math.isfinite(value):
            raise UnreadableError(f"NVML: {function} gave no number")
        return value

    return read


def throttling(nvml: Any, device: Any, found: Found) -> None:
    """What holds its clocks back, by the first of the two names that answers."""
    reason = ""
    for name in REASONS:
        ask = question(nvml, name, [device])
        try:
            ask()
        except UnreadableError as error:
            reason = str(error)
            continue
        found.signs.append(
            Sign(
                lambda ask=ask: {  # type: ignore[misc]
                    cause: float(bool(bits & bit)) for bits in (int(ask()),) for bit, cause in SLOWING.items()
                },
                counts=False,
            )
        )
        return
    found.absent[THROTTLED] = reason

"""Joules that a GPU takes, by the counter of its own that NVML reads, through ctypes: no package need be installed.

`nvidia-smi` tells a power that is the mean of a second on most GPUs, which says nothing of rows that take turns three
times a second. The counter moves only every few tens of milliseconds, so a measurement begins and ends with a move.
"""

from __future__ import annotations

import ctypes
import dataclasses
import time
from collections.abc import Callable
from typing import Any, Protocol

LIBRARY = "libnvidia-ml.so.1"
SECONDS = 1.0  # of a measurement, at least
PATIENCE = 1.0  # seconds to wait for a move


class Counter(Protocol):
    """A GPU's energy."""

    def joules(self) -> float:
        """Since some moment in the past. Raises UncountedError."""
        ...


class UncountedError(Exception):
    """Why there is no energy, in words."""


@dataclasses.dataclass(frozen=True)
class Energy:
    """Of calls one after the other, or in pace."""

    joules: float
    seconds: float
    calls: int


class NvmlCounter:
    """The counter of the GPU at a place on the PCI bus (NVML API reference, Volta and later)."""

    def __init__(self, bus: str, load: Callable[[str], Any] = ctypes.CDLL) -> None:
        """Raises UncountedError if there is no NVML, or no such GPU."""
        if not bus:
            raise UncountedError("CUDA does not say which GPU it works on")
        try:
            self._library = load(LIBRARY)
        except OSError as error:
            raise UncountedError(f"cannot load {LIBRARY}: {error}") from None
        self._device = ctypes.c_void_p()
        self._ask("nvmlInit_v2")
        self._ask("nvmlDeviceGetHandleByPciBusId_v2", bus.encode(), ctypes.byref(self._device))

    def joules(self) -> float:
        """See `Counter`."""
        millijoules = ctypes.c_ulonglong()
        self._ask("nvmlDeviceGetTotalEnergyConsumption", self._device, ctypes.byref(millijoules))
        return millijoules.value / 1e3

    def _ask(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, name, None)
        if function is None:
            raise UncountedError(f"NVML has no {name} here")
        if code := function(*arguments):
            raise UncountedError(f"NVML refuses {name} with error {code}")


class NoCounter:
    """Of a GPU that cannot be counted."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def joules(self) -> float:
        """Raises UncountedError, always."""
        raise UncountedError(self._reason)


def open_counter(bus: str) -> Counter:
    """The counter of a GPU; where there is none, what says why when it is asked."""
    try:
        return NvmlCounter(bus)
    except UncountedError as error:
        return NoCounter(str(error))


def energy(
    call: Callable[[], object],
    counter: Counter,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Energy:
    """What calls take, for so many seconds at least. Raises UncountedError if the counter does not answer or move."""
    move(call, counter, clock)
    first, start, calls = counter.joules(), clock(), 0
    while clock() - start < seconds:
        call()
        calls += 1
    calls += move(call, counter, clock)
    return Energy(counter.joules() - first, clock() - start, calls)


def move(call: Callable[[], object], counter: Counter, clock: Callable[[], float]) -> int:
    """Calls until the counter moves, and their number. Raises UncountedError if it does not."""
    before, start, calls = counter.joules(), clock(), 0
    while counter.joules() == before:
        if clock() - start > PATIENCE:
            raise UncountedError(f"its counter did not move for {PATIENCE:g} s")
        call()
        calls += 1
    return calls

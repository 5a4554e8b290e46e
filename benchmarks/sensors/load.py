"""What of the processor went to others meanwhile: other processes, and other machines on the same host.

A latency that was measured while others took cores is not the machine's, and two of them are not alike.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from coke_edge.benchmarks.sensors.channel import Channel, Found, UnreadableError
from coke_edge.doctor.machine import Machine

OTHERS, STOLEN = "cores taken by others", "cores taken by the host"
# Columns of the first row of /proc/stat (proc_stat(5)): user, nice, system, irq, softirq; and steal.
BUSY, STEAL = (0, 1, 2, 5, 6), 7


def probe(machine: Machine, own: Callable[[], float] | None = None) -> Found:
    """Both as counters of core seconds. `own` gives those of this process."""
    found = Found()
    own = own or own_seconds
    path = machine.path("/proc/stat")
    found.channels += [
        Channel(OTHERS, "cores", lambda: seconds(path, BUSY) - own(), "cores"),
        Channel(STOLEN, "cores", lambda: seconds(path, (STEAL,)), "cores"),
    ]
    return found


def own_seconds() -> float:
    """CPU time of this process, all threads, in s."""
    times = os.times()
    return times.user + times.system


def seconds(path: Path, columns: tuple[int, ...]) -> float:
    """Core seconds since the machine started, in some columns. Raises UnreadableError."""
    try:
        _, *ticks = path.read_text().splitlines()[0].split()
        return sum(int(ticks[column]) for column in columns) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        raise UnreadableError(f"{path.name} of /proc cannot be read") from None

"""Clocks and temperature of the GPU while something runs on it, a few times a second, by `nvidia-smi`."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any

from coke_edge.benchmarks.which_gpu import smi_option

PERIOD_MS = 200
QUERIES = {  # reading → nvidia-smi's name, unit
    "gpu clock": ("clocks.sm", "MHz"),
    "gpu memory clock": ("clocks.mem", "MHz"),
    "gpu temperature": ("temperature.gpu", "°C"),
}
COMMAND = (
    "nvidia-smi",
    f"--query-gpu={','.join(name for name, _ in QUERIES.values())}",
    "--format=csv,noheader,nounits",
    f"--loop-ms={PERIOD_MS}",
)

Span = tuple[float, float]  # from, to, of time.perf_counter()


class Smi:
    """One `nvidia-smi` for the whole of a measurement; what it cannot tell is absent with its reason."""

    def __init__(self, bus: str, command: Sequence[str] = COMMAND) -> None:
        """Starts it, for the GPU at a place on the PCI bus."""
        self._samples: list[tuple[float, list[float | None]]] = []
        self._process: subprocess.Popen[str] | None = None
        if not bus:
            self._reason = "CUDA does not say which GPU it works on"
            return
        try:
            self._process = subprocess.Popen(
                [*command, *smi_option(bus)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                stdin=subprocess.DEVNULL,
            )
        except OSError as error:
            self._reason = f"nvidia-smi cannot be run: {error.strerror}"
            return
        self._reason = "nvidia-smi told nothing meanwhile"
        threading.Thread(target=self._read, name="nvidia-smi", daemon=True).start()

    def readings(self, spans: Sequence[Span]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Within these spans: readings as rows of a result have them, and why others are absent."""
        inside = [
            values for at, values in list(self._samples) if any(first <= at <= last for first, last in spans)
        ]
        found: dict[str, dict[str, Any]] = {}
        absent: dict[str, str] = {}
        for place, (name, (_, unit)) in enumerate(QUERIES.items()):
            values = [sample[place] for sample in inside]
            known = [value for value in values if value is not None]
            if known:
                found[name] = {
                    "unit": unit, "mean": sum(known) / len(known), "least": min(known), "most": max(known),
                    "count": len(known),
                }  # fmt: skip
            else:
                absent[name] = f"nvidia-smi does not know the {name}" if values else self._reason
        return found, absent

    def close(self) -> None:
        """End it; a second call does nothing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            values = [number(part) for part in line.split(",")]
            if len(values) == len(QUERIES):
                self._samples.append((time.perf_counter(), values))


def number(text: str) -> float | None:
    """None for what is none, such as [N/A]."""
    with contextlib.suppress(ValueError):
        return float(text)
    return None
